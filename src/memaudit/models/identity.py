"""Identity of a model: what decides whether it must be trained again.

The identity is a canonical JSON text in each shard. A shard stays valid as long as this version of
memaudit writes the same text for the same study, so:

- the fields of version 1 are always written;
- a field added later (to `Recipe`, or here) is written only where it differs from its default;
- VERSION rises only when training itself changes its results for unchanged settings.

The trial and the training mask belong to a model as well; shards hold them per model. The device,
the loader and CUDA graphs do not: they change no result beyond rounding.
"""

import json
from dataclasses import fields
from typing import Any

from memaudit.models.recipe import Recipe

VERSION = 1
# How `removals.subset_mask` draws subsets: dealt evenly to the ways of leaving an example out.
SUBSET_DESIGN = "dealt"
FIRST_RECIPE_FIELDS = {
    "network": str,
    "epochs": int,
    "batch_size": int,
    "learning_rate": float,
    "warmup": float,
    "momentum": float,
    "weight_decay": float,
    "crop_padding": int,
    "mirror": bool,
    "precision": str,
}


def model_identity(
    recipe: Recipe,
    *,
    seed: int,
    dataset: str,
    network_source: str | None = None,
    subset_fraction: float | None = None,
) -> str:
    """Return the identity of the models of one recipe and removal, as canonical JSON.

    `seed` is the study's, `dataset` the digest of the images, `network_source` the sha256 of the
    file of a user's network. `subset_fraction` is given for the removal "subset" only.
    """
    identity: dict[str, Any] = {
        "version": VERSION,
        "recipe": _recipe(recipe),
        "seed": int(seed),
        "dataset": dataset,
    }
    if network_source is not None:
        identity["network_source"] = network_source
    if subset_fraction is not None:
        identity["subset"] = {"design": SUBSET_DESIGN, "fraction": float(subset_fraction)}
    return json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the settings to write; 0 and 0.0 of a float field are the same setting."""
    settings = recipe.settings()
    written = {name: kind(settings[name]) for name, kind in FIRST_RECIPE_FIELDS.items()}
    for field in fields(recipe):
        if field.name not in FIRST_RECIPE_FIELDS and settings[field.name] != field.default:
            written[field.name] = settings[field.name]
    return written


def read_identity(text: str) -> dict[str, Any]:
    """Parse an identity and fill in the defaults of recipe fields that were not written.

    Raises ValueError when it is damaged or another version of memaudit wrote it.
    """
    identity = json.loads(text)
    # An identity without a version is not upgraded: its "float32" may have been TF32 on a GPU.
    if (version := identity.get("version")) != VERSION:
        which = "an earlier" if version is None else "another"
        raise ValueError(f"the models were trained by {which} version of memaudit; retrain them")
    written = identity["recipe"]
    if missing := FIRST_RECIPE_FIELDS.keys() - written.keys():
        raise ValueError(f"the recipe lacks {', '.join(sorted(missing))}")
    defaults = {field.name: field.default for field in fields(Recipe)}
    return {"network_source": None, "subset": None, **identity, "recipe": defaults | written}
