"""Interrupted training resumes with the same bits; processes do not train the same shard twice."""

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
from test_training import CPU
from test_training import RECIPE as SHORT

from memaudit.errors import Stopped
from memaudit.models import locks, training
from memaudit.models.checkpoint import Checkpoint, until_sigterm
from memaudit.models.resident_loader import ResidentLoader
from memaudit.models.step import Step
from memaudit.models.training import ModelJob, train_model

RECIPE = dataclasses.replace(SHORT, epochs=5, weight_decay=0.005)


@pytest.fixture
def train(small_dataset, tmp_path):
    """Train with a checkpoint that asks to stop after `epochs`; return the model and the log."""
    torch.set_num_threads(1)
    loader = ResidentLoader(small_dataset, RECIPE.crop_padding, CPU)
    mask = np.arange(small_dataset.n_train) % 3 > 0

    def run(epochs=None, recipe=RECIPE, mask=mask, minutes=1000.0, device="CPU"):
        log, calls = [], []

        def stopping():
            calls.append(1)
            return len(calls) == epochs

        checkpoint = Checkpoint(
            tmp_path / "0.pt",
            str(recipe),
            mask,
            device=device,
            minutes=minutes,
            stopping=stopping,
            report=log.append,
        )
        run.checkpoint = checkpoint
        job = ModelJob(seed=0, trial=0, mask=mask, test_every=2)
        try:
            model = train_model(loader, Step(recipe, 3, CPU), job, checkpoint)
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
    expected, _ = train()
    for epochs in stops:
        model, _ = train(epochs)
        assert model is None and train.file.exists()
    model, log = train()
    assert same(model, expected)
    assert log == []


DROPOUT = """
from torch import nn


def network(classes):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, classes))
"""


def test_a_network_with_dropout_resumes_with_the_same_bits(train, tmp_path, monkeypatch):
    (tmp_path / "with_dropout.py").write_text(DROPOUT)
    monkeypatch.chdir(tmp_path)
    recipe = dataclasses.replace(RECIPE, network="with_dropout:network")
    expected, _ = train(recipe=recipe)
    train(2, recipe=recipe)
    torch.rand(7)  # another state of torch's global generator
    assert same(train(recipe=recipe)[0], expected)


def test_resumed_training_runs_only_the_remaining_epochs(train, monkeypatch):
    train(3)
    epochs = []
    original = training.train_epoch
    monkeypatch.setattr(training, "train_epoch", lambda *args: epochs.append(1) or original(*args))
    train()
    assert len(epochs) == 2


def test_checkpoints_are_saved_at_the_given_interval(train):
    train()
    assert not train.file.exists()
    train(minutes=0)
    assert torch.load(train.file, weights_only=True)["epoch"] == 4


def test_resuming_on_another_device_is_reported_and_recorded(train):
    train(2, device="GPU A")
    model, log = train(1, device="GPU B")
    assert log == [
        "training begun on GPU A resumes on GPU B after epoch 2; its rounding differs from "
        "training on one device"
    ]
    model, log = train(device="GPU B")
    assert model is not None and log == []
    assert train.checkpoint.devices == ["GPU A", "GPU B"]


@pytest.mark.parametrize("change", ["recipe", "mask", "damage"])
def test_a_checkpoint_of_another_model_is_ignored(train, change):
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
    assert len(log) == 1 and "training restarts" in log[0]


def test_sigterm_is_noticed_and_the_handler_restored():
    before = signal.getsignal(signal.SIGTERM)
    with until_sigterm() as stopping:
        with until_sigterm() as inner:
            assert not stopping() and not inner()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopping() and inner()
        with until_sigterm() as later:
            assert later()
        assert stopping()
    assert signal.getsignal(signal.SIGTERM) is before


HOLD = """
import sys, time
from pathlib import Path
from memaudit.models import locks
folder = Path(sys.argv[1])
options = dict(patience=1, report=print, stopping=lambda: False)
with locks.exclusive(folder, "the other", **options) as heartbeat:
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path/partial."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "partial"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def exclusive(tmp_path):
    """Hold the lock of tmp_path/partial; the log is `exclusive.log`."""

    def hold(patience=60.0, stopping=lambda: False):
        return locks.exclusive(
            tmp_path / "partial", "me", patience=patience, report=hold.log.append, stopping=stopping
        )

    hold.log = []
    return hold


def test_a_lock_is_waited_for_and_released_when_its_holder_is_killed(tmp_path, holder, exclusive):
    threading.Timer(0.5, holder.kill).start()
    started = time.monotonic()
    with exclusive():
        assert time.monotonic() - started > 0.4
        assert (tmp_path / "partial" / "owner.txt").read_text() == "me"
    assert exclusive.log == [f"waiting for the other, which holds {tmp_path / 'partial' / 'lock'}"]


def test_a_lock_whose_holder_is_inactive_is_ignored(holder, exclusive):
    with exclusive(patience=0.3):
        assert holder.poll() is None
    assert exclusive.log[1] == "lock holder inactive for 0 s; continuing without the lock"


def test_waiting_for_a_lock_ends_on_sigterm(holder, exclusive):
    with pytest.raises(Stopped, match="SIGTERM"), exclusive(stopping=lambda: True):
        pass


def test_a_lock_can_be_taken_after_its_folder_was_deleted(tmp_path, exclusive):
    for _ in range(2):
        with exclusive():
            (tmp_path / "partial" / "lock").unlink()
            (tmp_path / "partial" / "owner.txt").unlink()
            (tmp_path / "partial").rmdir()
    assert exclusive.log == []
