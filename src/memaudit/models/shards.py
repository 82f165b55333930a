"""Shards: the files that hold trained models, one for each (recipe, removal, range of trials)."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.models.recipe import Recipe

Row = dict[str, np.ndarray]


def write_shard(path: Path, attributes: dict, rows: list[Row]) -> None:
    """Write the models of `rows` (each a dict of the fields of `memaudit.store.SHARD`)."""
    with store.create(path, store.SHARD, attributes) as out:
        for name in store.SHARD:
            out.add(name, np.stack([row[name] for row in rows]))


def partial_folder(path: str | Path) -> Path:
    """The folder beside a shard in which its finished models and checkpoints are kept meanwhile."""
    path = Path(path)
    return path.with_name(f".{path.stem}.partial")


def read_shards(
    paths: list[str] | list[Path],
    trials: range,
    fields: list[str],
    removal: str,
    recipe: dict[str, Any],
) -> dict[str, np.ndarray]:
    """Gather `fields` of all models of `trials`, in order, from their shards.

    Packed bits come back unpacked, bool (models, n). `recipe` are the settings the models must have
    been trained with, `removal` what they must have been trained without. Raises AuditError when a
    shard is damaged, holds models of another removal or recipe, when shards disagree on seed or
    dataset, or when a trial is missing or there twice.
    """
    place = {trial: at for at, trial in enumerate(trials)}
    gathered: dict[str, np.ndarray] = {}
    seen: dict[int, str] = {}
    identity, origin = None, None
    for path in paths:
        with store.reading(path, store.SHARD) as file:
            if file.attrs["removal"] != removal or json.loads(file.attrs["identity"])[
                "recipe"
            ] != dataclasses.asdict(Recipe.of(recipe)):
                raise AuditError(
                    f"{path}: holds models of removal {file.attrs['removal']!r}, recipe "
                    f"{file.attrs['recipe_name']!r}, or of other settings than configured. "
                    "Delete it and run the same snakemake command again"
                )
            if identity not in (None, file.attrs["identity"]):
                raise AuditError(
                    f"{path}: its models were trained by another recipe, seed or dataset than "
                    f"those of {origin}. Delete whichever is out of date and run snakemake again"
                )
            identity, origin = file.attrs["identity"], path
            file_trials = file["trial"][:].tolist()
            for trial in file_trials:
                if trial not in place:
                    raise AuditError(f"{path}: holds trial {trial}, which was not asked for")
                if trial in seen:
                    raise AuditError(f"trial {trial} is in {seen[trial]} and in {path}")
                seen[trial] = str(path)
            at = [place[trial] for trial in file_trials]
            for field in fields:
                values = file[field][:]
                if values.dtype == np.uint8:
                    side = store.SHARD[field].shape[1].removesuffix("_bytes")
                    values = store.unpack(values, int(file.attrs[f"n_{side}"]))
                if field not in gathered:
                    shape = (len(trials), *values.shape[1:])
                    gathered[field] = np.empty(shape, dtype=values.dtype)
                gathered[field][at] = values
    if absent := sorted(set(place) - set(seen)):
        raise AuditError(
            f"{len(absent)} models are missing, the first is trial {absent[0]}; the shards read "
            f"are {', '.join(map(str, paths[:3]))}{', ...' if len(paths) > 3 else ''}"
        )
    return gathered
