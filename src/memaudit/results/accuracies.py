"""The test accuracy of every model behind Table 2, gathered into one file and read arm by arm."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from memaudit import bits, store
from memaudit.errors import AuditError
from memaudit.models.shards import Origin, read_shards
from memaudit.results.statistics import Arm


def gather_accuracies(
    arms: Sequence[tuple[Origin, str, int, Sequence[str]]], path: str | Path
) -> None:
    """Gather the test accuracy of every model of every arm, by `memaudit.store.ACCURACIES`.

    An arm is (how its models must have been trained, the recipe's name, the number of models, the
    shards). Raises what `read_shards` raises, and AuditError when models of an arm removed
    different numbers.
    """
    fields = ["test_correct", "train_mask", "train_correct"]
    with store.create(path, store.ACCURACIES, {}) as out:
        for origin, recipe, models, paths in arms:
            removal = origin.removal
            arm = read_shards(list(paths), range(models), fields, origin)
            removed = (~arm["train_mask"]).sum(axis=1)
            if len(set(removed.tolist())) > 1:
                raise AuditError(
                    f"{recipe}, {removal}: models were trained without {sorted(set(removed))} "
                    f"examples; delete {Path(paths[0]).parent} and run the same command again"
                )
            group = f"{recipe}/{removal}"
            out.add(f"{group}/trial", np.arange(models))
            out.add(f"{group}/test_accuracy", 100 * arm["test_correct"].mean(axis=1))
            out.add(f"{group}/test_correct", bits.pack(arm["test_correct"]))
            out.add(f"{group}/train_accuracy", 100 * fit(arm["train_mask"], arm["train_correct"]))
            out.add(f"{group}/n_removed", removed)


def fit(train_mask: np.ndarray, train_correct: np.ndarray) -> np.ndarray:
    """The part of the examples it was trained on that each model is right on at the end: (models,).

    Both arguments are bool (models, n_train); the images as they are, not augmented.
    """
    right = (train_mask & train_correct).sum(axis=1)
    return np.asarray(right / train_mask.sum(axis=1), dtype=np.float64)


def _read_arm(group: h5py.Group, n_test: int) -> Arm:
    """An arm's models in order of their trials, whatever their order in the file."""
    trials = group["trial"][:]
    order = np.argsort(trials)
    return Arm(trials[order], bits.unpack(group["test_correct"][:], n_test)[order])


def read_arms(
    accuracies: str | Path, rows: Sequence[tuple[str, str]], n_test: int
) -> tuple[dict[str, Arm], dict[str, int]]:
    """The models of each (recipe, removal) and of its recipe on all examples; examples left out.

    Both by the arm's name, "recipe/removal".
    """
    names = {*rows, *((recipe, "none") for recipe, _ in rows)}
    with store.reading(accuracies, store.ACCURACIES) as file:
        arms = {f"{r}/{x}": _read_arm(file[f"{r}/{x}"], n_test) for r, x in sorted(names)}
        removed = {name: int(file[f"{name}/n_removed"][0]) for name in arms}
    return arms, removed
