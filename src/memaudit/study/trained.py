"""Which models of a study are trained already, by the content of the shards."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from memaudit import store
from memaudit.models.identity import model_identity
from memaudit.models.network_names import network_source
from memaudit.models.recipe import Recipe
from memaudit.models.removals import read_examples, training_mask
from memaudit.models.shards import find_models, trials_of
from memaudit.study.study import Study


def untrained(study: Study, shard: str | Path) -> int:
    """Return how many models a training job would train for its shard, as the files are now.

    Raises AuditError for a shard that cannot be read.
    """
    shard = Path(shard)
    recipe_name, removal = shard.parts[-3:-1]
    trials = trials_of(shard.stem)
    listed = study.removal_list(removal)
    needed = [study.dataset, study.digest, *([str(listed)] if listed else [])]
    if not all(Path(path).exists() for path in needed):
        return len(trials)
    labels = _labels(study.dataset)
    is_subset = removal == "subset"
    memorization = study.config.memorization
    fraction = memorization.subset_fraction if is_subset else None
    examples = read_examples(str(listed), len(labels)) if listed else None
    identity = identity_of(study, recipe_name, removal)
    masks = {
        trial: training_mask(
            removal, trial, labels, study.config.seed, examples=examples, fraction=fraction
        )
        for trial in trials
    }
    fields: Sequence[str] = store.MARGINS if is_subset and memorization.store_margins else ()
    return len(trials) - len(find_models(shard, identity, masks, fields)[0])


def identity_of(study: Study, recipe_name: str, removal: str) -> str:
    """Return the identity of the models of an arm; the digest of the images must be written."""
    recipe = Recipe.of(study.recipes[recipe_name])
    fraction = study.config.memorization.subset_fraction
    return model_identity(
        recipe,
        seed=study.config.seed,
        dataset=Path(study.digest).read_text(encoding="utf-8").strip(),
        network_source=network_source(recipe.network),
        subset_fraction=fraction if removal == "subset" else None,
    )


@cache
def _labels(dataset: str) -> np.ndarray:
    with store.reading(dataset, store.DATASET) as file:
        return np.asarray(file["train/labels"][:])
