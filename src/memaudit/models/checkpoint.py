"""Checkpoints of a model in training, so that a killed job resumes where it was.

A checkpoint holds everything that training depends on besides the recipe, the seed and the data:
weights and batch statistics, the optimizer's buffers, the curves so far. Order, augmentation and
dropout are functions of (seed, trial, epoch), so resumed training gives, on the CPU, the bits that
uninterrupted training gives.
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

_receivers: list[threading.Event] = []  # of `until_sigterm`, one within the other


class Checkpoint:
    """Saves one model's training at `path` at the end of an epoch, at most every `minutes`.

    `identity` says what is trained (`memaudit.models.identity`) and `mask`, bool (n_train,), on
    which examples; a checkpoint of anything else is ignored. `device` describes where; `devices`
    lists all devices that have trained the model. When `stopping()`, training is saved and Stopped
    raised. `heartbeat` is called after each epoch.
    """

    def __init__(
        self,
        path: Path,
        identity: str,
        mask: np.ndarray,
        *,
        device: str = "",
        minutes: float = 5.0,
        stopping: Callable[[], bool] = lambda: False,
        heartbeat: Callable[[], None] = lambda: None,
        report: Callable[[str], None] = lambda line: None,
    ):
        self.path = path
        self.minutes = minutes
        self.devices = [device]
        self._identity = identity + hashlib.sha256(bits.pack(mask).tobytes()).hexdigest()
        self._stopping = stopping
        self._heartbeat = heartbeat
        self._report = report
        self._saved = time.monotonic()

    def restore(self, network: nn.Module, optimizer: SGD) -> dict[str, Any] | None:
        """Fill network and optimizer; return epoch, seconds and curves, None without a checkpoint.

        `epoch` counts the epochs done. A checkpoint that is damaged, or of another model, is
        ignored and a line of the log says so. Raises AuditError for one that cannot be read now.
        """
        if not self.path.exists():
            return None
        try:
            kept = torch.load(self.path, map_location="cpu", weights_only=True)
            if kept["identity"] != self._identity:
                self._report(f"{self.path} belongs to another configuration; training restarts")
                return None
            network.load_state_dict(kept["network"])
            for buffer, values in zip(optimizer.buffers, kept["buffers"], strict=True):
                buffer.copy_(values)
            earlier: list[str] = kept["devices"]
        except Exception as error:  # torch.load fails in many ways on a damaged file
            if unreadable := store.system_error(self.path, error):
                raise unreadable from None
            self._report(f"{self.path} is damaged; training restarts ({error})".split("\n")[0])
            return None
        here = self.devices[0]
        if earlier[-1] != here:
            self._report(
                f"training begun on {earlier[-1]} resumes on {here} after epoch {kept['epoch']}; "
                "its rounding differs from training on one device"
            )
            earlier = [*earlier, here]
        self.devices = earlier
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
        """Save when it is time, or when the process is to end; the latter raises Stopped."""
        self._heartbeat()
        stopping = self._stopping()
        if not stopping and time.monotonic() - self._saved < 60 * self.minutes:
            return
        kept = {
            "identity": self._identity,
            "devices": self.devices,
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
            raise Stopped(f"stopped by SIGTERM; saved after {epoch} epochs in {self.path}")


@contextmanager
def until_sigterm() -> Iterator[Callable[[], bool]]:
    """Within it SIGTERM does not end the process; yield a function that says whether one came.

    Clusters send SIGTERM some time before they kill: at the time limit, and on preemption. Where
    one `until_sigterm` lies within another, both learn of it.
    """
    received = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield received.is_set
        return
    if any(outer.is_set() for outer in _receivers):
        received.set()
    _receivers.append(received)

    def receive(*_: object) -> None:
        for event in _receivers:
            event.set()

    before = signal.signal(signal.SIGTERM, receive) or signal.SIG_DFL
    try:
        yield received.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
        _receivers.remove(received)
