"""Test accuracies of the models behind Table 2: gathered into one file, read arm by arm."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from memaudit import bits, store
from memaudit.errors import AuditError
from memaudit.models.shards import Origin, read_shards
from memaudit.results.statistics import Arm, Floats


def gather_accuracies(
    arms: Sequence[tuple[Origin, str, int, Sequence[str]]], path: str | Path
) -> None:
    """Write the test accuracy of every model of every arm, by `memaudit.store.ACCURACIES`.

    An arm is (origin that its models must have, name of the recipe, number of models, shards).
    Raises what `read_shards` raises, and AuditError if models of an arm differ in the number of
    removed examples.
    """
    fields = ["test_correct", "train_mask", "train_correct"]
    with store.create(path, store.ACCURACIES, {}) as out:
        for origin, recipe, models, paths in arms:
            removal = origin.removal
            arm = read_shards(list(paths), range(models), fields, origin)
            removed = (~arm["train_mask"]).sum(axis=1)
            if len(set(removed.tolist())) > 1:
                counts = sorted(set(removed.tolist()))
                raise AuditError(
                    f"{recipe}, {removal}: models were trained without {counts} "
                    f"examples; delete {Path(paths[0]).parent} and run the same command again"
                )
            group = f"{recipe}/{removal}"
            out.add(f"{group}/trial", np.arange(models))
            out.add(f"{group}/test_accuracy", 100 * arm["test_correct"].mean(axis=1))
            out.add(f"{group}/test_correct", bits.pack(arm["test_correct"]))
            out.add(f"{group}/train_accuracy", 100 * fit(arm["train_mask"], arm["train_correct"]))
            out.add(f"{group}/n_removed", removed)


def fit(train_mask: npt.NDArray[np.bool_], train_correct: npt.NDArray[np.bool_]) -> Floats:
    """Return the final accuracy of each model on its own training examples, fraction (models,).

    Both arguments are bool (models, n_train), on unaugmented images.
    """
    right = (train_mask & train_correct).sum(axis=1)
    return np.asarray(right / train_mask.sum(axis=1), dtype=np.float64)


def _read_arm(group: h5py.Group, n_test: int) -> Arm:
    """Read the models of an arm in the order of their trials."""
    trials = group["trial"][:]
    order = np.argsort(trials)
    return Arm(trials[order], bits.unpack(group["test_correct"][:], n_test)[order])


def read_arms(
    accuracies: str | Path, rows: Sequence[tuple[str, str]], n_test: int
) -> tuple[dict[str, Arm], dict[str, int]]:
    """Read the arms of (recipe, removal) and of the recipes on all examples, with their n_removed.

    Both are keyed by "recipe/removal".
    """
    names = {*rows, *((recipe, "none") for recipe, _ in rows)}
    with store.reading(accuracies, store.ACCURACIES) as file:
        arms = {f"{r}/{x}": _read_arm(file[f"{r}/{x}"], n_test) for r, x in sorted(names)}
        removed = {name: int(file[f"{name}/n_removed"][0]) for name in arms}
    return arms, removed
