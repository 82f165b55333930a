"""Which models of a study are trained already, and which a run would replace, by their shards."""

import json
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from memaudit import store
from memaudit.data.dataset import read_settings
from memaudit.errors import AuditError
from memaudit.models.identity import model_identity, read_identity
from memaudit.models.network_names import network_source
from memaudit.models.recipe import Recipe
from memaudit.models.removals import read_examples, training_mask
from memaudit.models.shards import find_models, identity_in, n_trials, trials_of
from memaudit.study.study import Study


def untrained(study: Study, shard: str | Path) -> int:
    """Return how many models a training job would train for its shard, as the files are now.

    Raises AuditError for a shard that cannot be read.
    """
    kept = _models_with_margins(study, Path(shard))
    needed = _needs_margins(study, Path(shard))
    return len(trials_of(Path(shard).stem)) - sum(
        has_margins or not needed for has_margins in kept.values()
    )


def without_margins(study: Study, shards: Iterable[str | Path]) -> int:
    """Return how many models of the shards are trained again because they keep no margins."""
    return sum(
        not has_margins
        for shard in shards
        if _needs_margins(study, Path(shard))
        for has_margins in _models_with_margins(study, Path(shard)).values()
    )


def _needs_margins(study: Study, shard: Path) -> bool:
    return shard.parent.name == "subset" and study.config.memorization.store_margins


def _models_with_margins(study: Study, shard: Path) -> dict[int, bool]:
    """Return the trials of a shard that are trained, and whether each keeps margins."""
    recipe_name, removal = shard.parts[-3:-1]
    trials = trials_of(shard.stem)
    listed = study.removal_list(removal)
    needed = [study.dataset, study.digest, *([str(listed)] if listed else [])]
    if not all(Path(path).exists() for path in needed):
        return {}
    labels = _labels(study.dataset)
    fraction = study.config.memorization.subset_fraction if removal == "subset" else None
    examples = read_examples(str(listed), len(labels)) if listed else None
    identity = identity_of(study, recipe_name, removal)
    masks = {
        trial: training_mask(
            removal, trial, labels, study.config.seed, examples=examples, fraction=fraction
        )
        for trial in trials
    }
    fields = store.MARGINS[:1] if removal == "subset" else []
    found, _ = find_models(shard, identity, masks, fields)
    return {trial: store.MARGINS[0] in row for trial, row in found.items()}


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


def replaced(study: Study, shards: Iterable[str | Path]) -> str:
    """Return a warning of finished models that training the shards would replace, or "".

    Those of another recipe, seed or dataset count, not those of another list of examples.
    """
    if not Path(study.digest).exists():
        return ""
    models, files, differences = 0, 0, set[str]()
    wanted = cache(lambda recipe, removal: identity_of(study, recipe, removal))
    for shard in map(Path, shards):
        if not shard.exists() or not (text := identity_in(shard)):
            continue
        recipe, removal = shard.parts[-3:-1]
        if found := _differences(recipe, text, wanted(recipe, removal)):
            differences |= found
            files += 1
            models += n_trials(shard)
    if not models:
        return ""
    return (
        f"{models:,} finished models (shards in {study.results}/models: {files:,}) were trained "
        f"with other settings ({', '.join(sorted(differences))}) and will be replaced. To keep "
        "them, set results to another folder"
    )


def reread(study: Study) -> str:
    """Return a warning that a run will read the images with other settings than before, or "".

    Whether they are other images is known once they are read: `refuse_other_images`.
    """
    written = read_settings(study.dataset)
    wanted = {"kind": study.config.dataset.kind, **study.image_settings}
    names = [
        f"dataset.{name}" if name == "kind" else f"dataset.{wanted['kind']}.{name}"
        for name in wanted
        if written and written.get(name) != wanted[name]
    ]
    models = Path(study.results) / "models"
    if not names or not any(models.glob("*/*/*.h5")):
        return ""
    return (
        f"{study.dataset} was written with other settings ({', '.join(names)}), so the images "
        f"will be read again. If they differ, the run stops, because the models in {models} were "
        "trained on the present images. To study both, set results and dataset.name to other names"
    )


def _differences(recipe: str, one: str, other: str) -> set[str]:
    """Return the settings in which two identities differ."""
    if one == other:
        return set()
    try:
        a, b = read_identity(one), read_identity(other)
    except (KeyError, TypeError, ValueError):
        return {"version of memaudit"}
    settings = [name for name in b["recipe"] if a["recipe"].get(name) != b["recipe"][name]]
    others = [name for name in b if name != "recipe" and a.get(name) != b[name]]
    return {f"recipes.{recipe}.{name}" for name in settings} | set(others)


def refuse_other_images(results: str | Path, digest: str) -> None:
    """Raise AuditError if a results folder has models of images of another digest."""
    models = Path(results) / "models"
    shards = [*models.glob("*/*/*.h5"), *models.glob("*/*/.*.partial/*.h5")]
    other = []
    for shard in shards:
        with suppress(KeyError, TypeError, ValueError):
            if json.loads(identity_in(shard))["dataset"] != digest:
                other.append(n_trials(shard))
    if other:
        raise AuditError(
            f"{models}: {sum(other):,} finished models were trained on other images than this "
            "configuration has, and would be replaced. Nothing was overwritten. To keep them, set "
            f"results and dataset.name to other names; to replace them, delete {models} and run "
            "again"
        )


@cache
def _labels(dataset: str) -> np.ndarray:
    with store.reading(dataset, store.DATASET) as file:
        return np.asarray(file["train/labels"][:])
