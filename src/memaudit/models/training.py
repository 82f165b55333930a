"""Train one model: one recipe, one set of examples, one trial."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from memaudit.errors import AuditError
from memaudit.models.checkpoint import Checkpoint
from memaudit.models.loaders import Loader
from memaudit.models.precision import computing_in
from memaudit.models.resident_loader import batches_per_epoch
from memaudit.models.step import Step
from memaudit.seeds import generator, seed64

SMALLEST_BATCH = 64  # images per batch in evaluation


@dataclass(frozen=True, kw_only=True)
class ModelJob:
    """One model to train: the study's seed, its trial, and its examples, bool (n_train,).

    `name` ("recipe, removal") appears in errors. `test_every` is the number of epochs between
    evaluations on the test examples; 0 evaluates after the last epoch only. `size` is the number of
    examples that decides the steps of an epoch, at most those of the mask; None takes all. With
    `margins` the margins and log-odds of the last epoch are kept.
    """

    seed: int
    trial: int
    mask: np.ndarray
    name: str = ""
    test_every: int = 0
    size: int | None = None
    margins: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What is kept of a model.

    train_correct bool (n_train,) and test_correct bool (n_test,): whether the model, after its last
    epoch, predicts the example's label from the unaugmented image. The curves are float32
    (epochs,): `rate` and `loss` are means over the steps, `train_accuracy` is the fraction correct
    on augmented images during the epoch, `test_accuracy` the fraction correct after it (NaN where
    not evaluated). `seconds` is wall time. `margins` holds, if asked for, train_margin and
    train_log_odds (n_train,), test_margin and test_log_odds (n_test,), float16: the logit of the
    label minus the largest other one, and log p - log(1 - p) of its probability p.
    """

    train_correct: np.ndarray
    test_correct: np.ndarray
    rate: np.ndarray
    loss: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray
    seconds: float
    margins: dict[str, np.ndarray]


def train_model(
    loader: Loader, step: Step, job: ModelJob, checkpoint: Checkpoint | None = None
) -> TrainedModel:
    """Train a network by the recipe of `step` on the examples of `job`, and evaluate it.

    All randomness comes from (seed, trial): weights, order (drawn over all examples and then
    masked), augmentation, dropout. The result does not depend on what `step` trained before.
    Training resumes from `checkpoint` where there is one, and saves to it.

    Raises AuditError when the loss of an epoch is not finite, Stopped when the process was asked to
    end and the checkpoint is saved.
    """
    started = time.perf_counter()
    recipe = step.recipe
    augmentation_seed = seed64(job.seed, "augmentation", job.trial)
    size = int(job.mask.sum()) if job.size is None else job.size
    per_epoch = batches_per_epoch(size, recipe.batch_size)
    steps = recipe.epochs * per_epoch
    curves = {
        key: np.full(recipe.epochs, np.nan, dtype=np.float32)
        for key in ("rate", "loss", "train_accuracy", "test_accuracy")
    }
    first, before = 0, 0.0
    if checkpoint and (kept := checkpoint.restore(step.network, step.optimizer)):
        first, before, curves = kept["epoch"], kept["seconds"], kept["curves"]
    else:  # also when the checkpoint was damaged and filled the network in part
        step.reset(seed64(job.seed, "initialisation", job.trial))
    for epoch in range(first, recipe.epochs):
        order = generator(job.seed, "order", job.trial, epoch).permutation(len(job.mask))
        rates = [recipe.rate(epoch * per_epoch + at, steps) for at in range(per_epoch)]
        batches = loader.train_batches(
            order[job.mask[order]][: max(size, 1)],
            recipe.batch_size,
            augmentation_seed,
            epoch,
            recipe.mirror,
        )
        torch.manual_seed(seed64(job.seed, "dropout", job.trial, epoch))
        loss, accuracy = train_epoch(step, batches, rates)
        if not np.isfinite(loss):
            raise AuditError(
                f"training diverged: {job.name}, trial {job.trial}, epoch {epoch + 1} of "
                f"{recipe.epochs}: loss {loss} at learning rate {rates[-1]:.4g}; lower the "
                "recipe's learning_rate"
            )
        curves["rate"][epoch] = np.mean(rates)
        curves["loss"][epoch] = loss
        curves["train_accuracy"][epoch] = accuracy
        last = epoch + 1 == recipe.epochs
        if last or (job.test_every and (epoch + 1) % job.test_every == 0):
            test_correct, test_margins = _evaluate(step, loader, "test")
            curves["test_accuracy"][epoch] = test_correct.mean()
        if checkpoint and not last:
            seconds = before + time.perf_counter() - started
            checkpoint.epoch_done(step.network, step.optimizer, epoch + 1, seconds, curves)
    train_correct, train_margins = _evaluate(step, loader, "train")
    return TrainedModel(
        train_correct=train_correct,
        test_correct=test_correct,
        margins=train_margins | test_margins if job.margins else {},
        seconds=before + time.perf_counter() - started,
        **curves,
    )


def train_epoch(
    step: Step, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], rates: list[float]
) -> tuple[float, float]:
    """Train for one epoch; return mean loss and fraction correct. Only the end waits for a GPU."""
    step.network.train()
    losses, correct, seen = [], [], 0
    with computing_in(step.recipe.precision, step.device):
        for rate, (images, labels) in zip(rates, batches, strict=True):
            loss, hits = step(images, labels, rate)
            losses.append(loss)
            correct.append(hits)
            seen += len(labels)
        return float(torch.stack(losses).mean()), float(torch.stack(correct).sum()) / seen


def _evaluate(step: Step, loader: Loader, side: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return which examples of `side` are predicted correctly, bool (n,), and their margins.

    Where a GPU has too little memory, batches are halved, for the rest of the job. Logits then
    differ by rounding at most.
    """
    while True:
        try:
            return _evaluate_batches(step, loader, side)
        except torch.OutOfMemoryError:
            if loader.evaluation_batch < 2 * SMALLEST_BATCH:
                raise
        loader.evaluation_batch //= 2  # here, where the failed batch is no longer referenced
        torch.cuda.empty_cache()


@torch.no_grad()
def _evaluate_batches(
    step: Step, loader: Loader, side: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    step.network.eval()
    correct, margins, log_odds = [], [], []
    with computing_in(step.recipe.precision, step.device):
        for images, labels in loader.evaluation_batches(side):
            logits = step.network(images).float()
            correct.append(logits.argmax(1) == labels)
            label = logits.gather(1, labels[:, None])[:, 0]
            others = logits.scatter(1, labels[:, None], -torch.inf)
            margins.append(label - others.amax(1))
            log_odds.append(label - others.logsumexp(1))
    kept = {
        f"{side}_margin": torch.cat(margins).half().cpu().numpy(),
        f"{side}_log_odds": torch.cat(log_odds).half().cpu().numpy(),
    }
    return torch.cat(correct).cpu().numpy(), kept
