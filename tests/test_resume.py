"""Training that is interrupted, however that comes about, and goes on."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from test_training import RECIPE as SHORT

from memaudit.errors import Stopped
from memaudit.models import locks
from memaudit.models.checkpoint import Checkpoint, until_sigterm
from memaudit.models.device import gpu_names, take_gpu
from memaudit.models.resident_loader import ResidentLoader
from memaudit.models.training import train_model

RECIPE = dataclasses.replace(SHORT, epochs=5, weight_decay=0.005)


@pytest.fixture
def train(small_dataset, tmp_path):
    """Train with a checkpoint that asks to end after `epochs`; returns the model and the log."""
    torch.set_num_threads(1)
    loader = ResidentLoader(small_dataset, RECIPE.crop_padding, torch.device("cpu"))
    mask = np.arange(small_dataset.n_train) % 3 > 0

    def run(epochs=None, recipe=RECIPE, mask=mask, minutes=1000.0):
        log, calls = [], []

        def stopping():
            calls.append(1)
            return len(calls) == epochs

        checkpoint = Checkpoint(
            tmp_path / "0.pt", str(recipe), mask, minutes, stopping, report=log.append
        )
        try:
            model = train_model(loader, recipe, mask, 3, 0, 0, test_every=2, checkpoint=checkpoint)
        except Stopped:
            return None, log
        return model, log

    run.file = tmp_path / "0.pt"
    run.mask = mask
    return run


def same(one, other):
    fields = [f.name for f in dataclasses.fields(one) if f.name != "seconds"]
    return all(
        np.array_equal(getattr(one, f), getattr(other, f), equal_nan=f == "test_accuracy")
        for f in fields
    )


@pytest.mark.parametrize("stops", [[1], [4], [2, 1], [1, 1, 1, 1]])
def test_interrupted_training_gives_the_same_bits(train, stops):
    whole, _ = train()
    for epochs in stops:
        model, _ = train(epochs)
        assert model is None and train.file.exists()
    model, log = train()
    assert same(model, whole)
    assert log == []


def test_going_on_trains_only_the_epochs_that_are_left(train, monkeypatch):
    from memaudit.models import training

    train(3)
    epochs = []
    original = training._train_epoch
    monkeypatch.setattr(training, "_train_epoch", lambda *args: epochs.append(1) or original(*args))
    train()
    assert len(epochs) == 2


def test_saved_every_so_many_minutes(train):
    train()
    assert not train.file.exists()
    train(minutes=0)
    assert torch.load(train.file, weights_only=True)["epoch"] == 4


@pytest.mark.parametrize("change", ["recipe", "mask", "damage"])
def test_a_checkpoint_of_anything_else_is_refused(train, change):
    options = {}
    if change == "recipe":
        options["recipe"] = dataclasses.replace(RECIPE, weight_decay=0.1)
    if change == "mask":
        options["mask"] = ~train.mask
    expected, _ = train(**options)
    train(2)
    if change == "damage":
        train.file.write_bytes(train.file.read_bytes()[:-2000])
    model, log = train(**options)
    assert same(model, expected)
    assert len(log) == 1 and ("refused" in log[0] or "damaged" in log[0])


def test_sigterm_is_noticed_and_the_handler_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with until_sigterm() as stopping:
        assert not stopping()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping()
    assert signal.getsignal(signal.SIGTERM) is before


HOLD = "import sys, time; from pathlib import Path; from memaudit.models import locks; "
HOLD += "f = locks.take(Path(sys.argv[1]), 'the other'); print(f is not None, flush=True); "
HOLD += "time.sleep(60)"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path/lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait()


def test_a_lock_is_waited_for_and_freed_when_its_holder_is_killed(tmp_path, holder):
    lock, log = tmp_path / "lock", []
    assert locks.take(lock) is None
    threading.Timer(0.5, holder.kill).start()
    started = time.monotonic()
    with locks.alone(lock, "me", 60, log.append):
        assert time.monotonic() - started > 0.4
        assert lock.read_text() == "me"
    assert log == [f"waiting for the other, which holds {lock}"]
    assert locks.take(lock) is not None


def test_without_a_sign_of_life_one_goes_on(tmp_path, holder):
    log = []
    with locks.alone(tmp_path / "lock", "me", 0.3, log.append):
        assert holder.poll() is None
    assert "no sign of life" in log[1]


def test_a_lock_that_was_removed_by_its_holder_is_made_anew(tmp_path):
    lock = tmp_path / "folder" / "lock"
    first = locks.take(lock)
    lock.unlink()
    second = locks.take(lock)
    assert second is not None and locks.take(lock) is None
    first.close()


def test_each_process_takes_a_free_gpu(tmp_path, monkeypatch):
    from memaudit.models import device

    monkeypatch.setattr(device.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(device, "_held", [])
    log = []
    assert [take_gpu(["0", "1"], log.append) for _ in range(2)] == [0, 1]
    threading.Timer(0.5, device._held[1].close).start()
    assert take_gpu(["0", "1"], log.append) == 1
    assert log == ["all 2 GPUs are taken: waiting for one"]


def test_processes_that_share_gpus_take_empty_ones_first(tmp_path, monkeypatch):
    from memaudit.models import device

    monkeypatch.setattr(device.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(device, "_held", [])
    log = []
    assert [take_gpu(["0", "1"], log.append, share=2) for _ in range(4)] == [0, 1, 0, 1]
    threading.Timer(0.5, device._held[2].close).start()
    assert take_gpu(["0", "1"], log.append, share=2) == 0
    assert log == ["all 2 GPUs are taken: waiting for one"]


def test_names_of_gpus():
    assert gpu_names(2, {}) == ["0", "1"]
    assert gpu_names(2, {"CUDA_VISIBLE_DEVICES": "3,5"}) == ["3", "5"]
    assert gpu_names(1, {"CUDA_VISIBLE_DEVICES": "3,5"}) == ["0"]
    both = {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "7"}
    assert gpu_names(2, both) == ["job7-0", "job7-1"]
