"""Datasets larger than memory: images stay in files."""

import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest

from memaudit.data import dataset, image_folder, mapped
from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError


@pytest.fixture
def data(rng):
    images = rng.integers(0, 256, (60, 8, 6, 3), dtype=np.uint8)
    labels = rng.integers(0, 2, 60)
    return Dataset(["a", "b"], images[:40], labels[:40], images[40:], labels[40:])


def test_loaded_images_stay_in_the_file(data, tmp_path):
    dataset.save(data, tmp_path / "data.h5")
    loaded = dataset.load(tmp_path / "data.h5")
    assert loaded.digest() == data.digest()
    with pytest.raises(ValueError, match="read-only"):
        loaded.train_images[0] = 0
    dataset.save(replace(data, train_images=255 - data.train_images), tmp_path / "data.h5")
    assert np.array_equal(loaded.train_images, data.train_images)  # of the file that was replaced
    dataset.save(loaded, tmp_path / "again.h5")
    assert dataset.load(tmp_path / "again.h5").digest() == data.digest()


def test_compressed_files_are_read_into_memory(data, tmp_path):
    import h5py

    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["class_names"] = data.class_names
        for side in ("train", "test"):
            file[f"{side}/labels"] = getattr(data, f"{side}_labels")
            images = getattr(data, f"{side}_images")
            file.create_dataset(f"{side}/images", data=images, compression="gzip")
    assert dataset.load(path).digest() == data.digest()


def test_released_pages_keep_their_content(tmp_path, rng):
    array = mapped.scratch((100, 5000), tmp_path)
    values = rng.integers(0, 256, array.shape, dtype=np.uint8)
    array[:] = values
    mapped.release(array[10:])
    assert np.array_equal(array, values)
    assert not list(tmp_path.iterdir())  # the file has no name
    assert np.array_equal(np.concatenate(list(mapped.blocks(values))), values)


def test_pixels_of_a_folder_are_kept_on_disk(tmp_path, rng, monkeypatch):
    from PIL import Image

    for side in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / side / name).mkdir(parents=True)
            for number in range(3):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / side / name / f"{number}.png")
    in_memory = image_folder.read_image_folder(tmp_path)
    on_disk = image_folder.read_image_folder(tmp_path, scratch=tmp_path)
    assert on_disk.digest() == in_memory.digest()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mapped, "reserve_space", full)
    with pytest.raises(AuditError, match="cannot be stored"):
        image_folder.read_image_folder(tmp_path, scratch=tmp_path)


MEMORY = """
    import resource, sys
    from pathlib import Path
    import numpy as np
    from memaudit.data import dataset, mapped
    from memaudit.data.dataset import Dataset
    {imports}
    folder = Path(sys.argv[1])
    images = mapped.scratch((20_000, 64, 64, 3), folder)
    for block in mapped.blocks(images):
        block[:] = np.random.default_rng(0).integers(0, 256, block.shape, dtype=np.uint8)
    labels = np.arange(len(images)) % 2
    {warm_up}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dataset.save(Dataset(["a", "b"], images, labels, images[:500], labels[:500]), folder / "x.h5")
    data = dataset.load(folder / "x.h5")
    {use}
"""


PEAK = """
    data.digest()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def peak_mb(folder, **code):
    code = {name: textwrap.dedent(part) for name, part in code.items()}
    script = textwrap.dedent(MEMORY).format(**code)
    done = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss")
def test_a_dataset_is_written_and_read_in_little_memory(tmp_path):
    """Peak memory of 245 MB of images; 80 MB leaves room for blocks of 16 MB and their copies."""
    assert peak_mb(tmp_path, imports="", warm_up="", use=PEAK) < 80


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_ffcv_trains_from_disk_in_little_memory(tmp_path):
    """Memory besides the mapped pages of the file, which the system takes back when it needs."""
    pytest.importorskip("ffcv")
    used = peak_mb(
        tmp_path,
        imports="""
    import re
    import torch
    from memaudit.models.ffcv_loader import FFCVLoader
    def own():
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"RssAnon:\\s+(\\d+)", status)[1]) / 1024
    """,
        warm_up="""
    small = Dataset(["a", "b"], images[:99], labels[:99], images[:99], labels[:99])
    loader = FFCVLoader(small, 4, torch.device("cpu"), folder / "small.beton")
    for _ in loader.train_batches(np.arange(99), 10, 0, 0, True): pass
    """,
        use="""
    loader = FFCVLoader(data, 4, torch.device("cpu"), folder / "x.beton")
    before = own()
    order = np.random.default_rng(1).permutation(len(images))
    peak = max(own() for _ in loader.train_batches(order, 128, 0, 0, True))
    print(peak - before)
    """,
    )
    assert used < 80
