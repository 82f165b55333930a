"""Learning curves of the models on all examples: whether training has converged."""

from collections.abc import Mapping

import numpy as np

from memaudit.results.accuracies import fit

# Every column of learning_curves.csv, with what it means: the one place that says so.
COLUMNS = {
    "recipe": "the recipe",
    "epoch": "number of passes over the training examples",
    "models": "number of models over which means and SDs are taken",
    "learning_rate": "mean over the steps of the epoch",
    "loss": "training loss, mean over the steps of the epoch, nats",
    "loss_sd": "its SD over models",
    "train_accuracy": "accuracy on the augmented training images during the epoch, while the "
    "weights change, percent",
    "train_accuracy_sd": "its SD over models, percentage points",
    "test_models": "number of models evaluated on the test set after this epoch",
    "test_accuracy": "test accuracy after the epoch, percent; empty if no model was evaluated "
    "(`training.test_every`)",
    "test_accuracy_sd": "its SD over models, percentage points",
    "fitted": "accuracy on the unaugmented training images at the end of training, percent; only "
    "after the last epoch",
    "fitted_sd": "its SD over models, percentage points",
}
FIELDS = ["rate", "loss", "train_accuracy", "test_accuracy", "train_mask", "train_correct"]


def curve_rows(recipe: str, models: Mapping[str, np.ndarray]) -> list[dict]:
    """A row for each epoch, with a value for each of `COLUMNS`; NaN where there is none.

    `models` holds `FIELDS` of the models of one recipe, as `memaudit.models.shards.read_shards`
    gives them.
    """
    fitted = 100 * fit(models["train_mask"], models["train_correct"])
    epochs = models["loss"].shape[1]
    rows = []
    for epoch in range(epochs):
        tested = models["test_accuracy"][:, epoch]
        tested = tested[~np.isnan(tested)]
        columns = {
            "loss": models["loss"][:, epoch],
            "train_accuracy": 100 * models["train_accuracy"][:, epoch],
            "test_accuracy": 100 * tested,
            "fitted": fitted if epoch + 1 == epochs else fitted[:0],
        }
        row = {
            "recipe": recipe,
            "epoch": epoch + 1,
            "models": len(fitted),
            "learning_rate": float(models["rate"][:, epoch].mean(dtype=float)),
            "test_models": len(tested),
        }
        for name, values in columns.items():
            row[name] = float(values.mean(dtype=float)) if len(values) else np.nan
            row[f"{name}_sd"] = (
                float(values.std(ddof=1, dtype=float)) if len(values) > 1 else np.nan
            )
        rows.append({column: row[column] for column in COLUMNS})
    return rows
