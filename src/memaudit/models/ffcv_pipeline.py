# mypy: disable-error-code="misc,no-any-return,no-untyped-def"
# (FFCV and numba have no types: base classes, decorators and compiled functions are all Any.)
"""The code that runs inside FFCV. Import it with `memaudit.models.ffcv_loader.pipeline` only.

The compiled functions use nothing but their arguments, so numba can cache their machine code on
disk; FFCV's own decoders hold pointers to C functions and are recompiled in every process.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from queue import Empty, Full
from typing import Any

import numba
import numpy as np
import torch
from ffcv.fields.basics import IntDecoder
from ffcv.fields.ndarray import NDArrayDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.loader import loader as loader_module
from ffcv.loader.epoch_iterator import EpochIterator
from ffcv.memory_managers.os_cache import OSCacheContext, OSCacheManager
from ffcv.pipeline.allocation_query import AllocationQuery
from ffcv.pipeline.compiler import Compiler
from ffcv.pipeline.operation import Operation

from memaudit.models.augmentation import Augmentation
from memaudit.models.beton import is_beton_of, write_beton

__all__ = ["Epoch", "is_beton_of", "open_beton", "write_beton"]


def _compile(code: Callable[..., Any], signature: Any = None) -> Callable[..., Any]:
    """Compile as FFCV does, but cached on disk and never for several threads.

    (The names of numba's cache files do not tell parallel code from serial, and compiling parallel
    code takes 10 s.)
    """
    return numba.njit(signature, nogil=True, error_model="numpy", cache=True)(code)


# FFCV's own set_num_threads also sets torch's threads, in whichever thread it is called.
Compiler.compile = staticmethod(_compile)
Compiler.set_num_threads = staticmethod(lambda threads: None)


class MappedFile(OSCacheManager):
    """FFCV's map of a file, without its dictionaries of all samples: half a kilobyte for each."""

    def __init__(self, reader):
        self.reader = reader
        order = np.argsort(reader.alloc_table["ptr"])
        self.ptrs, self.sizes = (reader.alloc_table[name][order] for name in ("ptr", "size"))
        self.context = OSCacheContext(self)


loader_module.OSCacheManager = MappedFile


def _decode_image(indices, destination, metadata, storage_state):
    """Copy the images at addresses `metadata` to `destination`, uint8 (batch, h, w, 3)."""
    file = storage_state[0]
    for row in range(len(indices)):
        start = metadata[indices[row]]
        pixels = destination[row].reshape(-1)
        pixels[:] = file[start : start + np.uint64(pixels.size)]
    return destination


def _decode_label(indices, destination, metadata, storage_state):
    """Copy the labels in `metadata` to `destination`, int64 (batch, 1)."""
    for row in range(len(indices)):
        destination[row, 0] = metadata[indices[row]]
    return destination


class ImageDecoder(NDArrayDecoder):
    def generate_code(self) -> Callable[..., Any]:
        return _decode_image


class LabelDecoder(IntDecoder):
    def generate_code(self) -> Callable[..., Any]:
        return _decode_label


@numba.njit(nogil=True, cache=True)
def cut(images, destination, examples, dy, dx, flip, padding):
    """Zero-pad, cut at (dy, dx) and mirror where `flip`: `memaudit.models.augmentation`.

    images and destination uint8 (batch, h, w, 3); examples int64 (batch,), the rows to use of dy,
    dx int64 (n,) and flip bool (n,); padding in pixels.
    """
    height, width = images.shape[1], images.shape[2]
    for row in range(len(examples)):
        example = examples[row]
        left, step = dx[example] - padding, 1
        if flip[example]:
            left, step = left + width - 1, -1
        for y in range(height):
            from_y = y + dy[example] - padding
            if not 0 <= from_y < height:
                destination[row, y] = 0
                continue
            for x in range(width):
                from_x = left + step * x
                inside = 0 <= from_x < width
                for channel in range(3):
                    value = images[row, from_y, from_x, channel] if inside else 0
                    destination[row, y, x, channel] = value


class CropFlip(Operation):
    """Augments a batch by the epoch in whose thread it runs; the result is a torch tensor."""

    def generate_code(self) -> Callable[..., Any]:
        def crop_flip(images, destination, examples):
            epoch: Any = threading.current_thread()  # an `Epoch`
            return torch.from_numpy(epoch.augment(images, destination, examples))

        crop_flip.with_indices = True  # type: ignore[attr-defined]  # FFCV's convention
        return crop_flip

    def declare_state_and_memory(self, previous_state):
        memory = AllocationQuery(previous_state.shape, np.dtype("uint8"))
        return replace(previous_state, jit_mode=False, dtype=torch.uint8), memory


def open_beton(path: str) -> Loader:
    """Return FFCV's loader of a file of `memaudit.models.beton`, compiled; run it with `Epoch`."""
    loader = Loader(
        path,
        batch_size=1,
        num_workers=1,
        os_cache=True,
        order=OrderOption.SEQUENTIAL,
        seed=0,  # unused, but FFCV would draw one from numpy's global state
        drop_last=False,
        pipelines={"image": [ImageDecoder(), CropFlip()], "label": [LabelDecoder()]},
    )
    loader.memory_manager.context.__enter__()  # maps the file now, before it can be replaced
    return loader


class Epoch(EpochIterator):
    """One pass of FFCV over the samples `order`, int64, in that order; the last batch may be short.

    Yields (images uint8 tensor (batch, h, w, 3), labels int64 array (batch, 1)) in buffers that the
    next batch overwrites. `drawn` is the augmentation, by sample, or None; the threads of `pool`
    share a batch. `error` is the exception that ended it early.
    """

    def __init__(
        self,
        loader: Loader,
        order: np.ndarray,
        batch_size: int,
        drawn: Augmentation | None,
        padding: int,
        pool: ThreadPoolExecutor | None,
        workers: int,
    ):
        self.drawn, self.padding = drawn, padding
        self.pool, self.workers = pool, workers
        self.error: BaseException | None = None
        loader.batch_size = batch_size
        super().__init__(loader, order)  # starts the thread

    def augment(
        self, images: np.ndarray, destination: np.ndarray, examples: np.ndarray
    ) -> np.ndarray:
        if self.drawn is None:
            return images
        drawn = self.drawn.dy, self.drawn.dx, self.drawn.flip

        def part(rows: slice) -> None:
            cut(images[rows], destination[rows], examples[rows], *drawn, self.padding)

        if self.pool is None:
            part(slice(None))
        else:
            edges = np.linspace(0, len(examples), self.workers + 1).astype(int).tolist()
            list(self.pool.map(part, map(slice, edges[:-1], edges[1:])))
        return destination

    def run(self) -> None:
        """Run FFCV's thread; keep an error and wake up the consumer, which FFCV leaves waiting."""
        try:
            super().run()
        except BaseException as error:
            self.error = error
            while not self.terminate_event.is_set():
                with suppress(Full):
                    self.output_queue.put(None, timeout=0.1)
                    return

    def stop(self) -> None:
        """End the thread in whatever state it is."""
        self.terminate_event.set()
        while self.is_alive():
            with suppress(Empty):
                self.output_queue.get(timeout=0.05)
