"""Measure the memory that large datasets need, and write the table in benchmarks/README.md.

    python benchmarks/memory.py [--images 110000] [--finder]

Takes minutes (with the duplicate finder many) and 45 GB of disk space in the temporary folder
(TMPDIR). Every step is a process of its own.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import shared

SIZE, CLASSES, TEST_PART = 64, 200, 11  # one image in eleven is a test image
BEGIN, END = "<!-- written by memory.py -->", "<!-- end of memory.py -->"
STEPS = ("read folder", "write", "load", "ffcv", "duplicates")


def generate_folder(folder: Path, images: int) -> None:
    """Write JPEGs of random patches to <side>/<class>/, one of `TEST_PART` to the side "test"."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(images):
        side = "test" if number % TEST_PART == 0 else "train"
        target = folder / side / f"{number // TEST_PART % CLASSES:03d}"
        target.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((SIZE, SIZE)).save(target / f"{number:07d}.jpg")


def own_mb() -> float:
    """Return the memory of this process in MB, without mapped files."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def step(name: str, folder: Path, images: int) -> None:
    """Run one step and print its seconds, peak and own memory (MB, beyond that before it)."""
    from memaudit.data import dataset, image_folder, mapped

    if name == "ffcv":
        import torch

        from memaudit.models.ffcv_loader import FFCVLoader, pipeline

        pipeline()
    if name == "duplicates":
        from memaudit.duplicates import find_duplicates
    file = folder / "data.h5"
    start, peak, own = time.perf_counter(), peak_mb(), own_mb()
    largest = own
    if name == "read folder":
        data = image_folder.read_image_folder(folder / "images", scratch=folder, report=print)
        dataset.save(data, file)
    elif name == "write":
        pixels = mapped.scratch((images, SIZE, SIZE, 3), folder)
        rng = np.random.default_rng(0)
        for block in mapped.blocks(pixels):
            block[:] = np.frombuffer(rng.bytes(block.nbytes), np.uint8).reshape(block.shape)
        labels, test = np.arange(images) % CLASSES, images // TEST_PART
        names = [str(number) for number in range(CLASSES)]
        data = dataset.Dataset(names, pixels[test:], labels[test:], pixels[:test], labels[:test])
        dataset.save(data, file)
    elif name == "load":
        data = dataset.load(file)
        print(data.digest())
    elif name == "ffcv":
        data = dataset.load(file)
        loader = FFCVLoader(data, 4, torch.device("cpu"), folder / "data.beton")
        order = np.random.default_rng(1).permutation(data.n_train)
        for _ in loader.train_batches(order, 128, 0, 0, True):
            largest = max(largest, own_mb())
    elif name == "duplicates":
        data = dataset.load(file)
        find_duplicates(data.train_images, data.test_images)
    largest = max(largest, own_mb())
    print(time.perf_counter() - start, peak_mb() - peak, largest - own)


def measured(name: str, folder: Path, images: int) -> str:
    """Run a step in a process of its own; return a row of the table."""
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--images", str(images)], stdout=subprocess.PIPE, text=True, check=True
    )
    seconds, peak, own = map(float, done.stdout.split()[-3:])
    gigabytes = images * SIZE * SIZE * 3 / 1e9
    print(name, images, f"{seconds:.0f} s, peak {peak:.0f} MB, own {own:.0f} MB", flush=True)
    return f"| {name} | {images:,} | {gigabytes:.2f} | {peak:,.0f} | {own:,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=110_000)
    parser.add_argument("--finder", action="store_true", help="also run the duplicate finder")
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.step:
        step(arguments.step, arguments.folder, arguments.images)
        return
    images, rows = arguments.images, []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        generate_folder(folder / "images", images)
        rows += [measured(name, folder, images) for name in ("read folder", "load", "ffcv")]
        if arguments.finder:
            rows.append(measured("duplicates", folder, images))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows += [measured(name, folder, 10 * images) for name in ("write", "load", "ffcv")]
    versions = shared.versions("numpy", "h5py", "torch", "ffcv")
    table = "\n".join(
        [
            f"Measured on {shared.processor()}; {versions}.",
            "",
            "| step | images | pixels, GB | peak, MB | own, MB |",
            "|---|---:|---:|---:|---:|",
            *rows,
        ]
    )
    shared.write_measured(BEGIN, END, table)


if __name__ == "__main__":
    main()
