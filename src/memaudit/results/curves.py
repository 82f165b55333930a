"""Learning curves of the models on all examples: whether training has converged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memaudit.results.accuracies import fit

FIELDS = ["rate", "loss", "train_accuracy", "test_accuracy", "train_mask", "train_correct"]


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """One epoch of the models of one recipe: a row of learning_curves.csv."""

    recipe: str
    """the recipe"""
    epoch: int
    """number of passes over the training examples"""
    models: int
    """number of models over which means and SDs are taken"""
    learning_rate: float
    """mean over the steps of the epoch"""
    loss: float
    """training loss, mean over the steps of the epoch; nats"""
    loss_sd: float
    """its SD over models; nats"""
    train_accuracy: float
    """accuracy on the augmented training images during the epoch, while the weights change;
    percent"""
    train_accuracy_sd: float
    """its SD over models; pp"""
    test_models: int
    """number of models evaluated on the test set after this epoch"""
    test_accuracy: float
    """test accuracy after the epoch; empty if no model was evaluated
    (`training.test_every`); percent"""
    test_accuracy_sd: float
    """its SD over models; pp"""
    fitted: float
    """accuracy on the unaugmented training images at the end of training; only after the
    last epoch; percent"""
    fitted_sd: float
    """its SD over models; pp"""


def _mean_and_sd(name: str, values: npt.NDArray[Any]) -> dict[str, float]:
    """Return the columns `name` and `name`_sd of values over models."""
    return {
        name: float(values.mean(dtype=float)) if len(values) else np.nan,
        f"{name}_sd": float(values.std(ddof=1, dtype=float)) if len(values) > 1 else np.nan,
    }


def curve_rows(recipe: str, models: Mapping[str, npt.NDArray[Any]]) -> list[CurveRow]:
    """Return a row for each epoch; what is unknown is NaN.

    `models` holds `FIELDS` of the models of one recipe, as `memaudit.models.shards.read_shards`
    returns them.
    """
    fitted = 100 * fit(models["train_mask"], models["train_correct"])
    epochs = models["loss"].shape[1]
    rows = []
    for epoch in range(epochs):
        tested = models["test_accuracy"][:, epoch]
        tested = tested[~np.isnan(tested)]
        rows.append(
            CurveRow(
                recipe=recipe,
                epoch=epoch + 1,
                models=len(fitted),
                learning_rate=float(models["rate"][:, epoch].mean(dtype=float)),
                test_models=len(tested),
                **_mean_and_sd("loss", models["loss"][:, epoch]),
                **_mean_and_sd("train_accuracy", 100 * models["train_accuracy"][:, epoch]),
                **_mean_and_sd("test_accuracy", 100 * tested),
                **_mean_and_sd("fitted", fitted if epoch + 1 == epochs else fitted[:0]),
            )
        )
    return rows
