"""Shards: the files that hold trained models, one for each (recipe, removal, range of trials)."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from memaudit import bits, store
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


@dataclass(frozen=True)
class Origin:
    """What models must have been trained with; what is None is not checked.

    `removal` is its name, `recipe` its settings, `seed` the study's, `dataset` the digest of the
    images (`Dataset.digest`), `mask` gives the training mask of a trial, bool (n_train,).
    """

    removal: str
    recipe: dict[str, Any]
    seed: int | None = None
    dataset: str | None = None
    mask: Callable[[int], np.ndarray] | None = None


def read_shards(
    paths: list[str] | list[Path],
    trials: range,
    fields: list[str],
    origin: Origin,
    unpack: bool = True,
) -> dict[str, np.ndarray]:
    """Gather `fields` of all models of `trials`, in order, from their shards.

    Packed bits come back unpacked, bool (models, n), or with `unpack` False as they are. Raises
    AuditError, naming the file and the command that makes it anew, when a shard is damaged, holds
    other trials than its name says, or models that were trained otherwise than `origin`; when
    shards disagree on seed or dataset; when a trial is missing or there twice.
    """
    place = {trial: at for at, trial in enumerate(trials)}
    gathered: dict[str, np.ndarray] = {}
    seen: dict[int, str] = {}
    first: tuple[dict, str] | None = None
    for path in paths:
        with store.reading(path, store.SHARD) as file:
            identity = _identity(path, file)
            file_trials = file["trial"][:].tolist()
            _check_trials(path, file_trials, place, seen)
            _check_origin(path, file, identity, origin)
            first = first or (identity, str(path))
            if identity != first[0]:
                raise AuditError(
                    f"{path}: its models were trained with another seed or dataset than those of "
                    f"{first[1]}. Whichever is out of date: {store.rebuild_hint(path)}"
                )
            seen |= dict.fromkeys(file_trials, str(path))
            at = [place[trial] for trial in file_trials]
            for field in fields:
                values = file[field][:]
                if unpack and values.dtype == np.uint8:
                    side = store.SHARD[field].shape[1].removesuffix("_bytes")
                    values = bits.unpack(values, int(file.attrs[f"n_{side}"]))
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


def _identity(path: str | Path, file: h5py.File) -> dict[str, Any]:
    try:
        identity = json.loads(file.attrs["identity"])
        Recipe.of(identity["recipe"])
        for name, size in (("n_train", "train_mask"), ("n_test", "test_correct")):
            if -(-int(file.attrs[name]) // 8) != file[size].shape[1]:
                raise ValueError(f"{name} = {file.attrs[name]} does not fit {size}")
        return {"seed": identity["seed"], "dataset": identity["dataset"], **identity}
    except (KeyError, TypeError, ValueError) as error:
        raise AuditError(
            f"{path}: does not say how its models were trained ({error}). {store.rebuild_hint(path)}"
        ) from None


def _check_trials(
    path: str | Path, found: list[int], place: dict[int, int], seen: dict[int, str]
) -> None:
    stem = Path(path).stem
    ends = re.fullmatch(r"(\d+)-(\d+)", stem)
    named = range(int(ends[1]), int(ends[2]) + 1) if ends else found
    if (wrong := set(named) ^ set(found)) or len(set(found)) < len(found):
        trial = min(wrong or found)
        raise AuditError(
            f"{path}: by its name it holds the trials {stem}, each once, but "
            f"{f'trial {trial} is not in it' if trial in named else f'it holds trial {trial}'}. "
            f"{store.rebuild_hint(path)}"
        )
    for trial in found:
        if trial in seen:
            raise AuditError(f"trial {trial} is in {seen[trial]} and in {path}; take one away")
        if trial not in place:
            raise AuditError(f"{path}: holds trial {trial}, which was not asked for")


def _check_origin(
    path: str | Path, file: h5py.File, identity: dict[str, Any], origin: Origin
) -> None:
    found, wanted = identity["recipe"], Recipe.of(origin.recipe).settings()
    checks = [("removal", file.attrs.get("removal"), origin.removal)]
    checks += [(f"recipe setting {key}", found[key], wanted[key]) for key in wanted]
    checks += [(key, identity[key], getattr(origin, key)) for key in ("seed", "dataset")]
    for name, is_there, expected in checks:
        if expected is not None and is_there != expected:
            raise AuditError(
                f"{path}: its models were trained otherwise than this study says: {name} "
                f"{is_there!r}, not {expected!r}. {store.rebuild_hint(path)}"
            )
    if origin.mask is None:
        return
    for trial, mask in zip(file["trial"][:].tolist(), file["train_mask"][:], strict=True):
        if not np.array_equal(mask, bits.pack(origin.mask(trial))):
            raise AuditError(
                f"{path}: trial {trial} was trained on other examples than removal {origin.removal} "
                f"leaves in. {store.rebuild_hint(path)}"
            )
