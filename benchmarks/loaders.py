"""Compare FFCV with the resident loader and with a DataLoader of PIL images.

    python benchmarks/loaders.py              write the table in benchmarks/README.md
    python benchmarks/loaders.py --csv FILE   write the most important speed-ups

Each run is a separate process, the loaders alternate, and medians over the rounds are reported.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import shared

IMAGES, SIZE, BATCH, PADDING, CLASSES = 5_000, 32, 128, 4, 10
ROUNDS = 3
ALONE_SECONDS, FEEDING_SECONDS = 0.5, 1.0  # shortest duration of a measurement
BEGIN, END = "<!-- written by loaders.py -->", "<!-- end -->"
LOADERS = {
    "resident": "resident loader",
    "ffcv": "FFCV loader",
    "ffcv_cold": "FFCV loader, first use on a machine",
    "ffcv_own": "FFCV with its own operations",
    "pil": "DataLoader, PIL, no workers",
    "pil_workers": "DataLoader, PIL, one worker per core",
}

COMPARED = ("ffcv", "resident", "pil_workers")


def dataset():
    import numpy as np

    from memaudit.data.dataset import Dataset

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, IMAGES)
    return Dataset(list("abcdefghij"), pixels, labels, pixels[:10], labels[:10])


def ours(loader):
    """Return a function of the epoch number that yields the batches of a memaudit loader."""
    import numpy as np

    def epoch(number):
        order = np.random.default_rng(number).permutation(IMAGES)
        return loader.train_batches(order, BATCH, seed=0, epoch=number, mirror=True)

    return epoch


def resident(data, folder):
    import torch

    from memaudit.models.resident_loader import ResidentLoader

    return ours(ResidentLoader(data, PADDING, torch.device("cpu")))


def ffcv(data, folder):
    import torch

    from memaudit.models.ffcv_loader import FFCVLoader

    return ours(FFCVLoader(data, PADDING, torch.device("cpu"), folder / "images.beton"))


def ffcv_own(data, folder):
    """Use FFCV's own decoder, flip and translation, as in its CIFAR-10 example."""
    import torch
    from ffcv.fields.basics import IntDecoder
    from ffcv.fields.ndarray import NDArrayDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import (
        Convert,
        RandomHorizontalFlip,
        RandomTranslate,
        Squeeze,
        ToTensor,
        ToTorchImage,
    )

    loader = Loader(
        str(folder / "images.beton"),
        batch_size=BATCH,
        num_workers=1,
        order=OrderOption.RANDOM,
        seed=0,
        indices=range(IMAGES),
        pipelines={
            "image": [
                NDArrayDecoder(),
                RandomHorizontalFlip(),
                RandomTranslate(padding=PADDING),
                ToTensor(),
                ToTorchImage(),
                Convert(torch.float32),
            ],
            "label": [IntDecoder(), ToTensor(), Squeeze()],
        },
    )
    return lambda number: ((images.div(255), labels) for images, labels in loader)


def pil(data, folder, workers=0):
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    change = transforms.Compose(
        [
            transforms.RandomCrop(SIZE, PADDING),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    )

    class Images(Dataset):
        def __len__(self):
            return IMAGES

        def __getitem__(self, example):
            return change(Image.fromarray(data.train_images[example])), data.train_labels[example]

    loader = DataLoader(
        Images(),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda number: loader


def pil_workers(data, folder):
    from memaudit.cores import usable_cores

    return pil(data, folder, usable_cores())


def measure(name: str, folder: Path) -> dict[str, float]:
    """Return seconds to the first batch, and images per second alone and feeding the tiny network.

    Time starts when torch is imported and the images are in memory (for FFCV: its file exists), so
    it is the loader's contribution to a job's start-up time.
    """
    import torch

    from memaudit.models import networks

    torch.set_num_threads(1)
    data = dataset()
    maker = {"resident": resident, "ffcv_own": ffcv_own, "pil": pil, "pil_workers": pil_workers}
    started = time.perf_counter()
    epochs = maker.get(name, ffcv)(data, folder)
    first = next(iter(epochs(0)))
    seconds = time.perf_counter() - started
    torch.set_num_threads(1)
    if name == "ffcv_cold":
        return {"seconds": seconds}

    def rate(step, at_least: float) -> float:
        images, number, began = 0, 1, time.perf_counter()
        while time.perf_counter() - began < at_least:
            for batch, labels in epochs(number):
                step(batch, labels)
                images += len(labels)
            number += 1
        return images / (time.perf_counter() - began)

    network = networks.build("tiny", CLASSES, 0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def train(batch, labels):
        loss = torch.nn.functional.cross_entropy(network(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(3):
        train(*first)
    alone = rate(lambda batch, labels: None, ALONE_SECONDS)
    feeding = rate(train, FEEDING_SECONDS)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < FEEDING_SECONDS / 2:
        train(*first)
        steps += 1
    compute = steps * BATCH / (time.perf_counter() - began)
    return {"seconds": seconds, "alone": alone, "feeding": feeding, "compute": compute}


def run(name: str, folder: Path) -> dict[str, float]:
    """Run `measure` in a separate process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    cache = folder / "cache"
    with tempfile.TemporaryDirectory() as empty:
        environment["XDG_CACHE_HOME"] = empty if name == "ffcv_cold" else str(cache)
        command = [sys.executable, Path(__file__), "--measure", name, "--folder", folder]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> str:
    packages = ("torch", "torchvision", "numpy", "numba", "ffcv", "pillow")
    return f"{shared.processor()}; {shared.versions(*packages)}"


def report(runs: dict[str, list[dict[str, float]]], load: float) -> str:
    """Return the README's measured section; `load` is the load average at the start."""

    def median(name, key):
        return statistics.median(found[key] for found in runs[name])

    def cell(name, key, form):
        values = [found[key] for found in runs[name] if key in found]
        return shared.spread(values, form) if values else ""

    rows = [
        f"Measured on {machine()}. {IMAGES:,} images of {SIZE} x {SIZE}, batches of {BATCH}, "
        f"crop and flip, one PyTorch thread; median (range) of {ROUNDS} rounds. Load average at "
        f"the start: {load:.1f}.",
        "",
        "| loader | images/s, alone | images/s, feeding `tiny` | seconds to the first batch |",
        "|---|---|---|---|",
    ]
    for name, title in LOADERS.items():
        alone, feeding = (cell(name, key, "{:,.0f}") for key in ("alone", "feeding"))
        rows.append(f"| {title} | {alone} | {feeding} | {cell(name, 'seconds', '{:.2f}')} |")
    everything = [found for many in runs.values() for found in many]
    compute = statistics.median(found["compute"] for found in everything if "compute" in found)
    rows.append(f"| no loader, the same batch repeatedly | | {compute:,.0f} | |")

    def times(name, other, key):
        return f"{median(name, key) / median(other, key):.1f}"

    rows += [
        "",
        f"Speed-up of the FFCV loader alone: {times('ffcv', 'resident', 'alone')} over the "
        f"resident loader, {times('ffcv', 'ffcv_own', 'alone')} over FFCV with its own operations, "
        f"{times('ffcv', 'pil', 'alone')} over the DataLoader without workers and "
        f"{times('ffcv', 'pil_workers', 'alone')} with workers. Feeding `tiny`: "
        f"{times('ffcv', 'resident', 'feeding')}, {times('ffcv', 'ffcv_own', 'feeding')}, "
        f"{times('ffcv', 'pil', 'feeding')} and {times('ffcv', 'pil_workers', 'feeding')}.",
        "",
        f"The FFCV loader's first batch takes {median('ffcv', 'seconds'):.1f} s with cached "
        f"machine code and {median('ffcv_cold', 'seconds'):.1f} s without; with FFCV's own "
        "operations, which are compiled in every process, it takes "
        f"{median('ffcv_own', 'seconds'):.1f} s.",
    ]
    return "\n".join(rows)


def ratios(runs: dict[str, list[dict[str, float]]]) -> list[list]:
    """Return the speed-ups of FFCV over the resident loader and of that over the DataLoader."""
    first, second, third = COMPARED
    return [
        shared.row(
            "loaders",
            f"{LOADERS[name]}, {doing}",
            LOADERS[other],
            [a[key] / b[key] for a, b in zip(runs[name], runs[other], strict=True)],
        )
        for name, other in ((first, second), (second, third))
        for key, doing in (("alone", "alone"), ("feeding", "feeding `tiny`"))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", choices=LOADERS, help="one run, as JSON (internal)")
    parser.add_argument("--folder", type=Path, help="folder of the files (internal)")
    parser.add_argument("--csv", type=Path, help="write the speed-ups here instead of the README")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.folder)))
        return
    names = COMPARED if given.csv else LOADERS
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        run("ffcv", Path(folder))  # writes FFCV's file and fills the cache
        for number in range(ROUNDS):
            for name in names:
                runs[name].append(run(name, Path(folder)))
                print(f"round {number + 1}, {LOADERS[name]}: {runs[name][-1]}", flush=True)
    if given.csv:
        shared.write_rows(ratios(runs), given.csv)
    else:
        shared.write_measured(BEGIN, END, report(runs, load))


if __name__ == "__main__":
    main()
