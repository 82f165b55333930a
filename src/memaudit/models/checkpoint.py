"""A model's training kept from epoch to epoch, so that a killed job goes on where it was.

A checkpoint holds everything that training depends on besides the recipe, the seed and the data:
weights and batch statistics, the optimizer's buffers, the curves so far. Order and augmentation
are functions of (seed, trial, epoch), so training that goes on from a checkpoint gives, on the
CPU, the bits that uninterrupted training gives.
"""

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from memaudit import bits, store
from memaudit.errors import Stopped
from memaudit.models.optimizer import SGD


class Checkpoint:
    """Saves one model's training at `path`, at an epoch's end, every `minutes` at most.

    `identity` says what is trained (recipe, seed, dataset) and `mask` (bool (n_train,)) on which
    examples; a file that was saved for anything else is refused. `stopping` says whether this
    process has been asked to end: training is then saved and `Stopped` raised. `live` is called
    after each epoch.
    """

    def __init__(
        self,
        path: Path,
        identity: str,
        mask: np.ndarray,
        minutes: float = 5.0,
        stopping: Callable[[], bool] = lambda: False,
        live: Callable[[], None] = lambda: None,
        report: Callable[[str], None] = lambda line: None,
    ):
        self.path = path
        self.minutes = minutes
        self._identity = identity + hashlib.sha256(bits.pack(mask)).hexdigest()
        self._stopping = stopping
        self._live = live
        self._report = report
        self._saved = time.monotonic()

    def restore(self, network: nn.Module, optimizer: SGD) -> dict[str, Any] | None:
        """Fill network and optimizer; returns {"epoch", "seconds", "curves"}, None without a file.

        `epoch` counts the epochs that are done. A file that is damaged, or of another recipe, seed,
        dataset or set of examples, is not used; a line of the log says so.
        """
        if not self.path.exists():
            return None
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
            if kept["identity"] != self._identity:
                self._report(f"{self.path} is of another configuration: refused, not used")
                return None
            network.load_state_dict(kept["network"])
            for buffer, values in zip(optimizer.buffers, kept["buffers"], strict=True):
                buffer.copy_(values)
        except Exception as error:  # torch.load fails in many ways on a damaged file
            self._report(f"{self.path} is damaged, training starts anew ({error})".split("\n")[0])
            return None
        return {
            "epoch": kept["epoch"],
            "seconds": kept["seconds"],
            "curves": {name: values.numpy() for name, values in kept["curves"].items()},
        }

    def epoch_done(
        self,
        network: nn.Module,
        optimizer: SGD,
        epoch: int,
        seconds: float,
        curves: dict[str, np.ndarray],
    ) -> None:
        """Save if it is time to, or if the process is to end; then raises Stopped."""
        self._live()
        stopping = self._stopping()
        if not stopping and time.monotonic() - self._saved < 60 * self.minutes:
            return
        kept = {
            "identity": self._identity,
            "network": network.state_dict(),
            "buffers": optimizer.buffers,
            "epoch": epoch,
            "seconds": seconds,
            "curves": {name: torch.from_numpy(values) for name, values in curves.items()},
        }
        with store.atomic_write(self.path) as temporary:
            torch.save(kept, temporary)
        self._saved = time.monotonic()
        if stopping:
            raise Stopped(f"asked to end (SIGTERM): saved after {epoch} epochs in {self.path}")


@contextmanager
def until_sigterm() -> Iterator[Callable[[], bool]]:
    """Within it SIGTERM ends nothing; what is yielded says whether one has come.

    Clusters send it some time before they kill: at the time limit, and on preemption.
    """
    come = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield come.is_set
        return
    before = signal.signal(signal.SIGTERM, lambda *_: come.set())
    try:
        yield come.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
