"""Batches by FFCV, for images that do not fit on the training device; the bits of ResidentLoader.

FFCV is optional: nothing here needs it before a loader is made.
"""

import atexit
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError
from memaudit.models.augmentation import Augmentation, augmentation
from memaudit.models.resident_loader import EVALUATION_BATCH, full_batches, to_network

INSTALL = "make .venv/ffcv"


class FFCVLoader:
    """Train and test images of a dataset in an FFCV file, cut into batches by FFCV.

    The same interface and the same batches, bit for bit, as
    `memaudit.models.resident_loader.ResidentLoader`. The file `beton` is written when it is missing
    or holds anything but `dataset`. `workers` threads augment; 0 is one on the CPU, where a process
    has one core, and one for each core this process may use when it feeds a GPU.

    Raises AuditError when FFCV is not installed or the file cannot be written.
    """

    def __init__(
        self,
        dataset: Dataset,
        padding: int,
        device: torch.device,
        beton: str | Path,
        workers: int = 0,
    ):
        ffcv = pipeline()
        if not ffcv.is_beton_of(dataset, beton):
            ffcv.write_beton(dataset, beton)
        self.beton = Path(beton)
        self.device = device
        self.padding = padding
        self.height, self.width = dataset.train_images.shape[1:3]
        self.train_labels = torch.from_numpy(dataset.train_labels).to(device)
        self.test_labels = torch.from_numpy(dataset.test_labels).to(device)
        cores = 1 if device.type == "cpu" else usable_cores()
        self.workers = workers or cores
        self._pool = ThreadPoolExecutor(self.workers) if self.workers > 1 else None
        self._epoch = ffcv.Epoch
        self._loader = ffcv.open_beton(str(beton))
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def train_batches(
        self, order: np.ndarray, batch_size: int, seed: int, epoch: int, mirror: bool
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The augmented batches of one epoch: `full_batches` of `order` (int64 train indices)."""
        n = len(self.train_labels)
        _check(order, n)
        drawn = augmentation(seed, epoch, n, self.padding, mirror)
        yield from self._batches(*full_batches(order, batch_size), drawn)

    def evaluation_batches(self, side: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All examples of "train" or "test" in order, not augmented."""
        n_train, n_test = len(self.train_labels), len(self.test_labels)
        first, count = (0, n_train) if side == "train" else (n_train, n_test)
        size = min(
            EVALUATION_BATCH[self.device.type], count
        )  # FFCV makes room for ten whole batches
        yield from self._batches(np.arange(first, first + count), size, None)

    def _batches(
        self, order: np.ndarray, size: int, drawn: Augmentation | None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = np.ascontiguousarray(order, dtype=np.int64)
        epoch = self._epoch(
            self._loader, order, size, drawn, self.padding, self._pool, self.workers
        )
        delivered = 0
        try:
            for images, labels in epoch:
                delivered += len(labels)
                yield from self._deliver(images, torch.from_numpy(labels).view(-1))
            if epoch.error:
                epoch.error.add_note(f"in FFCV's thread, reading {self.beton}")
                raise epoch.error
            if delivered != len(order):
                raise RuntimeError(f"FFCV gave {delivered} of {len(order)} examples: {self.beton}")
        finally:
            epoch.stop()

    def _deliver(
        self, images: torch.Tensor, labels: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One batch, in memory of its own.

        To the GPU on a stream of its own, so that copying waits for no computing; FFCV may fill the
        buffers again when the next batch is asked for, so the copy must be done by then.
        """
        if self._copies is None:
            yield to_network(images), labels.clone()
            return
        with torch.cuda.stream(self._copies):
            images = images.to(self.device, non_blocking=True)
            labels = labels.to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._copies)
        images.record_stream(computing)
        labels.record_stream(computing)
        try:
            yield to_network(images), labels
        finally:
            self._copies.synchronize()


def _check(order: np.ndarray, n: int) -> None:
    """Compiled code reads whatever it is told to: nothing but indices of examples may get there."""
    if not np.issubdtype(order.dtype, np.integer):
        raise TypeError(f"an order is of whole numbers, this one of {order.dtype}")
    if len(order) and (order.min() < 0 or order.max() >= n):
        raise IndexError(f"train indices {order.min()} to {order.max()} of {n} examples")


def usable_cores() -> int:
    """Cores this process may use: its affinity where there is one (Slurm sets it), else all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pipeline() -> ModuleType:
    """The module `memaudit.models.ffcv_pipeline`, and with it FFCV, imported on first use.

    torch's number of threads, which FFCV sets on import, stays. Raises AuditError when FFCV or one
    of its libraries is missing.
    """
    threads = torch.get_num_threads()
    try:
        import numba
        import numba.typed

        numba.config.CACHE_DIR = numba.config.CACHE_DIR or str(_cache_folder())
        # FFCV keeps two names in a dictionary of numba's, and making it takes seconds of compiling.
        # It is read by ordinary Python only.
        typed, numba.typed.Dict = numba.typed.Dict, dict
        try:
            importlib.import_module("ffcv")
        finally:
            numba.typed.Dict = typed
        return importlib.import_module("memaudit.models.ffcv_pipeline")
    except ImportError as error:
        raise AuditError(
            f"the FFCV loader was asked for, but FFCV cannot be imported ({error}). "
            f"Install it: {INSTALL}"
        ) from error
    finally:
        torch.set_num_threads(threads)


def _cache_folder() -> Path:
    """Where numba keeps machine code: this user's cache, or a folder for this process alone.

    What lies there is run, so it is used only if nobody else can write it.
    """
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches) / "memaudit" / "numba"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 18))
        if state.st_uid == os.getuid() and not state.st_mode & 0o022:
            return folder
    except (OSError, RuntimeError):  # not writable, full, or no home
        pass
    made = tempfile.mkdtemp(prefix="memaudit-numba-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)
