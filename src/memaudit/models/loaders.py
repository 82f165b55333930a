"""The choice of the loader that feeds training. Both deliver the same batches."""

import os
from pathlib import Path

import torch

from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError
from memaudit.models.ffcv_loader import FFCVLoader
from memaudit.models.resident_loader import ResidentLoader

LOADERS = ("auto", "resident", "ffcv")
Loader = ResidentLoader | FFCVLoader

# Images may take this fraction of the memory that is free on the device; the rest is left to
# training, and to other processes on the same device.
RESIDENT_PART = 0.25


def choose_loader(
    setting: str, dataset: Dataset, padding: int, device: torch.device, beton: str | Path
) -> Loader:
    """Return the loader for `training.loader`: "resident", "ffcv" or "auto".

    "auto" keeps the images on the device where they fit in a quarter of the memory that is free
    there (on the CPU: of the available RAM), and reads them with FFCV otherwise. `padding` is in
    pixels; `beton` is the file FFCV reads, written when needed.

    Raises AuditError for another setting, and where FFCV is needed and not installed.
    """
    if setting not in LOADERS:
        raise AuditError(f"training.loader is {setting!r}; it can be {', '.join(LOADERS)}")
    need, free = resident_bytes(dataset, padding), free_bytes(device)
    if setting == "resident" or (setting == "auto" and need <= RESIDENT_PART * free):
        return ResidentLoader(dataset, padding, device)
    try:
        return FFCVLoader(dataset, padding, device, beton)
    except AuditError as error:
        if setting == "ffcv":
            raise
        raise AuditError(
            f"the images take {need / 1e9:.1f} GB, more than {RESIDENT_PART:.0%} of the "
            f"{free / 1e9:.1f} GB free on {device}, and the FFCV loader is not available: {error}. "
            "Or set training.loader to resident"
        ) from error


def resident_bytes(dataset: Dataset, padding: int) -> int:
    """Return the bytes of the images in ResidentLoader: training padded, test as they are."""
    n, height, width, channels = dataset.train_images.shape
    padded = n * (height + 2 * padding) * (width + 2 * padding) * channels
    return int(padded + dataset.test_images.nbytes)


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a GPU, or the RAM available without swapping (MemAvailable)."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(available.split()[1]) * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
