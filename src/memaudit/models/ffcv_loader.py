"""Batches by FFCV, for images that do not fit on the training device; same bits as ResidentLoader.

FFCV is optional: nothing here needs it until a loader is made.
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
from typing import Any

import numpy as np
import torch

from memaudit.cores import usable_cores
from memaudit.data import mapped
from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError
from memaudit.models.augmentation import Augmentation, augmentation
from memaudit.models.resident_loader import EVALUATION_BATCH, full_batches, to_network

INSTALL = "make .venv/ffcv"


class FFCVLoader:
    """Training and test images of a dataset in an FFCV file, cut into batches by FFCV.

    It has the interface of `memaudit.models.resident_loader.ResidentLoader` and delivers the same
    batches, bit for bit. The file `beton` is written when it is missing or holds anything but
    `dataset`. `workers` threads augment; 0 means one on the CPU, where a process has one core, and
    one per usable core when it feeds a GPU.

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
        self.evaluation_batch = EVALUATION_BATCH[device.type]
        self.padding = padding
        self.height, self.width = dataset.train_images.shape[1:3]
        self.train_labels = torch.from_numpy(dataset.train_labels).to(device)
        self.test_labels = torch.from_numpy(dataset.test_labels).to(device)
        cores = 1 if device.type == "cpu" else usable_cores()
        self.workers = workers or cores
        self._pool = ThreadPoolExecutor(self.workers) if self.workers > 1 else None
        self._epoch = ffcv.Epoch
        self._loader = ffcv.open_beton(str(beton))
        self._file = self._loader.memory_manager.context.mmap
        self._copies = (
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            if device.type == "cuda"
            else None
        )

    def train_batches(
        self, order: np.ndarray, batch_size: int, seed: int, epoch: int, mirror: bool
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the augmented batches of one epoch: `full_batches` of `order` (int64 examples)."""
        n = len(self.train_labels)
        _check(order, n)
        drawn = augmentation(seed, epoch, n, self.padding, mirror)
        yield from self._batches(*full_batches(order, batch_size), drawn)

    def evaluation_batches(self, side: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield all examples of "train" or "test" in order, not augmented."""
        n_train, n_test = len(self.train_labels), len(self.test_labels)
        first, count = (0, n_train) if side == "train" else (n_train, n_test)
        # FFCV allocates ten batches
        size = min(self.evaluation_batch, count)
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
                # the file's pages stay in the system's cache, but not in this process
                mapped.release(self._file)
                yield from self._deliver(images, torch.from_numpy(labels).view(-1))
            if epoch.error:
                epoch.error.add_note(f"in FFCV's thread, reading {self.beton}")
                raise epoch.error
            if delivered != len(order):
                raise RuntimeError(
                    f"FFCV delivered {delivered} of {len(order)} examples of {self.beton}"
                )
        finally:
            epoch.stop()

    def _deliver(
        self, images: torch.Tensor, labels: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield one batch in memory of its own.

        It is copied to the GPU on a separate stream, so that copying does not wait for computing.
        FFCV may overwrite its buffers when the next batch is requested; the copy ends before that.
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
    """Check that `order` holds example indices only: compiled code does not check its bounds."""
    if not np.issubdtype(order.dtype, np.integer):
        raise TypeError(f"order must have an integer dtype, not {order.dtype}")
    if len(order) and (order.min() < 0 or order.max() >= n):
        raise IndexError(f"order has examples {order.min()} to {order.max()}; there are {n}")


def pipeline() -> ModuleType:
    """Import `memaudit.models.ffcv_pipeline`, and FFCV with it.

    torch's number of threads, which FFCV changes on import, is restored.

    Raises AuditError when FFCV or one of its libraries is missing.
    """
    threads = torch.get_num_threads()
    try:
        import numba
        import numba.typed

        settings: Any = numba.config  # numba declares no types for its settings
        settings.CACHE_DIR = settings.CACHE_DIR or str(_cache_folder())
        # FFCV keeps two names in a numba dictionary, which takes seconds to compile. Only ordinary
        # Python reads it, so a dict does.
        typed, numba.typed.Dict = numba.typed.Dict, dict
        try:
            importlib.import_module("ffcv")
        finally:
            numba.typed.Dict = typed
        return importlib.import_module("memaudit.models.ffcv_pipeline")
    except ImportError as error:
        raise AuditError(
            f"FFCV cannot be imported ({error}). Install it with: {INSTALL}"
        ) from error
    finally:
        torch.set_num_threads(threads)


def _cache_folder() -> Path:
    """Return where numba keeps machine code: this user's cache, or a temporary folder.

    The code is executed, so the cache is used only if nobody else can write to it.
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
    except (OSError, RuntimeError):  # not writable, full, or no home folder
        pass
    made = tempfile.mkdtemp(prefix="memaudit-numba-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)
