"""Train one model: one recipe, one set of examples, one trial."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from memaudit.errors import AuditError
from memaudit.models.checkpoint import Checkpoint
from memaudit.models.recipe import Recipe
from memaudit.models.resident_loader import ResidentLoader, batches_per_epoch
from memaudit.models.step import Step
from memaudit.seeds import generator, seed64


@dataclass(frozen=True)
class TrainedModel:
    """What is kept of a model.

    train_correct bool (n_train,) and test_correct bool (n_test,): whether the model, after its last
    epoch, predicts the example's label from the image as it is. The curves have one value an epoch,
    float32 (epochs,): `rate` and `loss` are means over the steps, `train_accuracy` the fraction
    right on augmented images while training, `test_accuracy` the fraction right afterwards (NaN
    where it was not evaluated). `seconds` of wall time.
    """

    train_correct: np.ndarray
    test_correct: np.ndarray
    rate: np.ndarray
    loss: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    seconds: float


def train_model(
    loader: ResidentLoader,
    recipe: Recipe,
    mask: np.ndarray,
    classes: int,
    seed: int,
    trial: int,
    test_every: int = 0,
    name: str = "",
    checkpoint: Checkpoint | None = None,
    step: Step | None = None,
) -> TrainedModel:
    """Train a network by `recipe` on the examples of `mask` (bool (n_train,)) and evaluate it.

    All randomness comes from (seed, trial): weights, order (drawn over all examples and then masked)
    and augmentation. `test_every` evaluates the test accuracy every so many epochs, 0 only after
    the last. `name` ("recipe, removal") is used in errors. Training goes on from `checkpoint` where
    that was saved, and saves to it. `step` is that of an earlier model of this recipe on the
    loader's device, to be used again; the result does not depend on it.

    Raises AuditError when the loss of an epoch is not finite, naming recipe, removal, trial, epoch
    and rate; Stopped when the process was asked to end and the checkpoint is saved.
    """
    started = time.perf_counter()
    device = loader.device
    step = step or Step(recipe, classes, device)
    network, optimizer = step.network, step.optimizer
    augmentation_seed = seed64(seed, "augmentation", trial)
    per_epoch = batches_per_epoch(int(mask.sum()), recipe.batch_size)
    steps = recipe.epochs * per_epoch
    curves = {
        key: np.full(recipe.epochs, np.nan, dtype=np.float32)
        for key in ("rate", "loss", "train_accuracy", "test_accuracy")
    }
    first, before = 0, 0.0
    if checkpoint and (kept := checkpoint.restore(network, optimizer)):
        first, before, curves = kept["epoch"], kept["seconds"], kept["curves"]
    else:  # also after a file that could be read in part only
        step.reset(seed64(seed, "initialisation", trial))
    for epoch in range(first, recipe.epochs):
        order = generator(seed, "order", trial, epoch).permutation(len(mask))
        rates = [recipe.rate(epoch * per_epoch + at, steps) for at in range(per_epoch)]
        batches = loader.train_batches(
            order[mask[order]], recipe.batch_size, augmentation_seed, epoch, recipe.mirror
        )
        with _precision(recipe, device):
            loss, accuracy = _train_epoch(step, batches, rates)
        if not np.isfinite(loss):
            raise AuditError(
                f"training diverged: {name}, trial {trial}, epoch {epoch + 1} of {recipe.epochs}: "
                f"the loss is {loss} at a learning rate of {rates[-1]:.4g}; "
                "lower the recipe's learning_rate"
            )
        curves["rate"][epoch] = np.mean(rates)
        curves["loss"][epoch] = loss
        curves["train_accuracy"][epoch] = accuracy
        last = epoch + 1 == recipe.epochs
        if last or (test_every and (epoch + 1) % test_every == 0):
            test_correct = _correct(network, loader, "test", recipe)
            curves["test_accuracy"][epoch] = test_correct.mean()
        if checkpoint and not last:
            seconds = before + time.perf_counter() - started
            checkpoint.epoch_done(network, optimizer, epoch + 1, seconds, curves)
    return TrainedModel(
        train_correct=_correct(network, loader, "train", recipe),
        test_correct=test_correct,
        seconds=before + time.perf_counter() - started,
        **curves,
    )


def _precision(recipe: Recipe, device: torch.device) -> torch.autocast:
    """What the network computes in; its weights are float32 always."""
    narrow = recipe.precision == "bfloat16"
    # its cache would hold the narrow weights of the step in which they were made
    return torch.autocast(device.type, torch.bfloat16, enabled=narrow, cache_enabled=False)


def _train_epoch(step: Step, batches, rates: list[float]) -> tuple[float, float]:
    """One epoch; (mean loss, fraction right). Nothing waits for the device within it."""
    step.network.train()
    losses, right, seen = [], [], 0
    for rate, (images, labels) in zip(rates, batches, strict=True):
        loss, hits = step(images, labels, rate)
        losses.append(loss)
        right.append(hits)
        seen += len(labels)
    return float(torch.stack(losses).mean()), float(torch.stack(right).sum()) / seen


@torch.no_grad()
def _correct(network: nn.Module, loader: ResidentLoader, side: str, recipe: Recipe) -> np.ndarray:
    network.eval()
    with _precision(recipe, loader.device):
        right = [
            network(images).argmax(1) == labels
            for images, labels in loader.evaluation_batches(side)
        ]
    return torch.cat(right).cpu().numpy()
