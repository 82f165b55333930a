"""Shards: HDF5 files of trained models, one per recipe, removal and range of trials."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from memaudit import bits, store
from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError
from memaudit.models.identity import SUBSET_DESIGN, read_identity
from memaudit.models.network_names import network_source
from memaudit.models.recipe import Recipe
from memaudit.models.removals import subset_mask
from memaudit.templates import count

Row = dict[str, Any]

TRIALS = re.compile(r"(\d+)(?:-(\d+))?")  # the name of a shard, or of one finished model
PER_MODEL = [name for name in store.SHARD if name not in ("trial", *store.MARGINS)]
ENOUGH = 20  # models whose training time is averaged


def write_shard(path: Path, attributes: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write models; each row holds one model's fields of `memaudit.store.SHARD`.

    Margins that only some of the models keep are NaN for the others.
    """
    with store.create(path, store.SHARD, attributes) as out:
        for name in store.SHARD:
            if kept := [row[name] for row in rows if name in row]:
                if len(kept) < len(rows):
                    absent = np.full_like(kept[0], np.nan)
                    kept = [row.get(name, absent) for row in rows]
                out.add(name, np.stack(kept))


def chunk_names(models: int, per_job: int) -> list[str]:
    """Name the shards of trials 0 to `models` - 1, `per_job` in each: "000000-000049"."""
    return [
        f"{first:06d}-{min(first + per_job, models) - 1:06d}" for first in range(0, models, per_job)
    ]


def trials_of(chunk: str) -> range:
    """Return the trials of a shard, from its name."""
    first, last = chunk.split("-")
    return range(int(first), int(last) + 1)


def n_trials(path: Path) -> int:
    """Return the number of models in a file, from its name; 0 for one of another name."""
    named = TRIALS.fullmatch(path.stem)
    return int(named[2] or named[1]) - int(named[1]) + 1 if named else 0


def identity_in(path: Path) -> str:
    """Return the identity of the models in a file, without verifying it; "" if there is none."""
    with suppress(OSError), h5py.File(path, "r", locking=False) as file:
        return str(file.attrs.get("identity", ""))
    return ""


def partial_folder(path: str | Path) -> Path:
    """Return the folder beside an unfinished shard, for its finished models and checkpoints."""
    path = Path(path)
    return path.with_name(f".{path.stem}.partial")


@contextmanager
def reading_shard(path: str | Path) -> Iterator[h5py.File]:
    """Open a shard for reading, as `memaudit.store.reading` does."""
    with store.reading(path, store.SHARD, lambda: rebuild_hint(path)) as file:
        yield file


def rebuild_hint(path: str | Path) -> str:
    """Return what is lost with a shard, and the command that trains its models again."""
    path = Path(path)
    models = n_trials(path)
    seconds = seconds_per_model([*path.parent.glob("*.h5"), *path.parent.parent.glob("*/*.h5")])
    lost = count(models, "model") if models else "its models"
    if models and seconds:
        total = models * seconds
        time = (total, "second") if total < 60 else (total / 60, "minute")
        lost += f", about {count(math.ceil(time[0]), time[1])} of training,"
    return f"Unless you have a copy, {lost} will be trained again. {store.rebuild_hint(path)}"


def seconds_per_model(shards: Iterable[Path]) -> float | None:
    """Return the mean training time over the models of the first few shards that can be read."""
    found: list[float] = []
    for path in shards:
        with suppress(AuditError), store.reading(path, store.SHARD, "none") as file:
            found += file["seconds"][:].tolist()
        if len(found) >= ENOUGH:
            break
    return sum(found) / len(found) if found else None


@dataclass(frozen=True)
class Origin:
    """What models must have been trained with; None is not checked.

    `removal` is its name, `recipe` its settings, `seed` the study's, `dataset` the digest of the
    images (`Dataset.digest`), `mask` returns the training mask of a trial, bool (n_train,).
    """

    removal: str
    recipe: dict[str, Any]
    seed: int | None = None
    dataset: str | None = None
    mask: Callable[[int], np.ndarray] | None = None

    @classmethod
    def of_subsets(
        cls, recipe: dict[str, Any], seed: int, fraction: float, data: Dataset
    ) -> "Origin":
        """Return the origin of the subset models of a recipe, with their training masks."""
        n_train = data.n_train

        def mask(trial: int) -> np.ndarray:
            return subset_mask(n_train, trial, fraction, seed)

        return cls("subset", recipe, seed, data.digest(), mask)


def read_shards(
    paths: Sequence[str | Path],
    trials: range,
    fields: Sequence[str],
    origin: Origin,
    unpack: bool = True,
) -> dict[str, np.ndarray]:
    """Read `fields` of all models of `trials`, in order, from their shards.

    Returns arrays with one row per model. Packed bits come back as bool (models, n), or packed with
    `unpack=False`.

    Raises AuditError, naming the file and the command that rebuilds it, when a shard is damaged,
    holds other trials than its name says, or models that do not match `origin`; when shards
    disagree on seed or dataset; when a trial is missing or duplicated.
    """
    place = {trial: at for at, trial in enumerate(trials)}
    gathered: dict[str, np.ndarray] = {}
    seen: dict[int, str] = {}
    first: tuple[dict[str, Any], str] | None = None
    for path in paths:
        with reading_shard(path) as file:
            identity = _identity(path, file)
            file_trials = file["trial"][:].tolist()
            _check_trials(path, file_trials, place, seen)
            _check_origin(path, file, identity, origin)
            first = first or (identity, str(path))
            if identity != first[0]:
                raise AuditError(
                    f"{path}: trained with another seed or dataset than {first[1]}. "
                    f"Rebuild the outdated one. {rebuild_hint(path)}"
                )
            seen |= dict.fromkeys(file_trials, str(path))
            at = [place[trial] for trial in file_trials]
            for field in fields:
                if field not in file:
                    raise _no_margins(path)
                values = file[field][:]
                if field in store.MARGINS and np.isnan(values).all(axis=1).any():
                    raise _no_margins(path)
                if unpack and values.dtype == np.uint8:
                    side = str(store.SHARD[field].shape[1]).removesuffix("_bytes")
                    values = bits.unpack(values, int(file.attrs[f"n_{side}"]))
                if field not in gathered:
                    shape = (len(trials), *values.shape[1:])
                    gathered[field] = np.empty(shape, dtype=values.dtype)
                gathered[field][at] = values
    if absent := sorted(set(place) - set(seen)):
        raise AuditError(
            f"{len(absent)} models are missing, the first is trial {absent[0]}; shards read: "
            f"{', '.join(map(str, paths[:3]))}{', ...' if len(paths) > 3 else ''}"
        )
    return gathered


def _no_margins(path: str | Path) -> AuditError:
    return AuditError(
        f"{path}: its models were trained without keeping margins. Set memorization.estimator to "
        f"difference, or train them again: {store.rebuild_hint(path)}"
    )


def _identity(path: str | Path, file: h5py.File) -> dict[str, Any]:
    try:
        for name, size in (("n_train", "train_mask"), ("n_test", "test_correct")):
            if -(-int(file.attrs[name]) // 8) != file[size].shape[1]:
                raise ValueError(f"{name} = {file.attrs[name]} does not fit {size}")
        return read_identity(file.attrs["identity"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AuditError(
            f"{path}: cannot tell how its models were trained: {error}. {rebuild_hint(path)}"
        ) from None


def _check_trials(
    path: str | Path, found: list[int], place: dict[int, int], seen: dict[int, str]
) -> None:
    stem = Path(path).stem
    ends = re.fullmatch(r"(\d+)-(\d+)", stem)
    named = range(int(ends[1]), int(ends[2]) + 1) if ends else found
    if (wrong := set(named) ^ set(found)) or len(set(found)) < len(found):
        trial = min(wrong or found)
        problem = f"trial {trial} is {'missing' if trial in named else 'in it, too'}"
        raise AuditError(
            f"{path}: its name promises the trials {stem}, each once, but {problem}. "
            f"{rebuild_hint(path)}"
        )
    for trial in found:
        if trial in seen:
            raise AuditError(f"trial {trial} is in both {seen[trial]} and {path}; remove one")
        if trial not in place:
            raise AuditError(f"{path}: holds trial {trial}, which is not part of this study")


def _check_origin(
    path: str | Path, file: h5py.File, identity: dict[str, Any], origin: Origin
) -> None:
    wanted = Recipe.of(origin.recipe).settings()
    found = identity["recipe"]
    design = (identity["subset"] or {}).get("design")
    checks = [
        ("removal", file.attrs.get("removal"), origin.removal),
        ("subset design", design, SUBSET_DESIGN if origin.removal == "subset" else None),
        *(
            (f"recipe setting {name}", found.get(name), wanted.get(name, "no such setting"))
            for name in (wanted | found)
        ),
        ("network source", identity["network_source"], network_source(wanted["network"])),
        ("seed", identity["seed"], origin.seed),
        ("dataset", identity["dataset"], origin.dataset),
    ]
    for name, is_there, expected in checks:
        if expected is not None and is_there != expected:
            raise AuditError(
                f"{path}: its models do not belong to this study: {name} {is_there!r}, expected "
                f"{expected!r}. {rebuild_hint(path)}"
            )
    if origin.mask is None:
        return
    for trial, mask in zip(file["trial"][:].tolist(), file["train_mask"][:], strict=True):
        if not np.array_equal(mask, bits.pack(origin.mask(trial))):
            raise AuditError(
                f"{path}: trial {trial} was trained on other examples than the removal "
                f"{origin.removal} keeps. {rebuild_hint(path)}"
            )


def find_models(
    path: str | Path,
    identity: str,
    masks: Mapping[int, np.ndarray],
    fields: Sequence[str] = (),
    report: Callable[[str], None] = lambda line: None,
) -> tuple[dict[int, Row], dict[int, str]]:
    """Collect the models of `masks` that are trained, and the devices that trained each.

    They are looked for in the complete and partial shards beside `path` and, as an empty list
    removes none, in those of all examples. A row has the `fields` that its model kept. Damaged
    shards are reported and passed over. Raises AuditError for one that cannot be read now, whose
    models need no training.
    """
    path = Path(path)
    rows: dict[int, Row] = {}
    devices: dict[int, str] = {}
    folders = {path.parent, path.parent.parent / "none"}
    for source in sorted(other for folder in folders for other in _shards_of(folder, masks)):
        try:
            with store.reading(source, store.SHARD, "Its models are trained again.") as file:
                if file.attrs.get("identity") == identity:
                    for trial, row in _wanted(file, masks, fields).items():
                        if len(row) >= len(rows.get(trial, ())):  # keeps margins where there are
                            rows[trial] = row
                            devices[trial] = file.attrs.get("device", "not recorded")
        except store.UnreadableError:
            raise
        except AuditError as error:
            report(str(error))
    return rows, devices


def _wanted(
    file: h5py.File, masks: Mapping[int, np.ndarray], fields: Sequence[str]
) -> dict[int, Row]:
    rows = {}
    trials, inside = file["trial"][:], file["train_mask"][:]
    for at, trial in enumerate(trials.tolist()):
        if trial in masks and np.array_equal(inside[at], bits.pack(masks[trial])):
            kept = {name: file[name][at] for name in fields if name in file}
            absent = [name for name in store.MARGINS if name in kept and np.isnan(kept[name]).all()]
            rows[trial] = {n: v for n, v in kept.items() if n not in absent}
            rows[trial]["trial"] = trials[at]
    return rows


def _shards_of(folder: Path, trials: Iterable[int]) -> Iterator[Path]:
    """Yield the complete and partial shards that may hold one of the trials."""
    first, last = min(trials), max(trials)
    for path in [*folder.glob("*.h5"), *folder.glob(".*.partial/*.h5")]:
        named = TRIALS.fullmatch(path.stem)
        if named and int(named[1]) <= last and int(named[2] or named[1]) >= first:
            yield path


def holds_margins(path: str | Path) -> bool:
    """Return whether a shard keeps margins; if it is not there, whether another of its trials does.

    A file that cannot be opened counts as one without.
    """
    path = Path(path)
    for source in [path] if path.exists() else _shards_of(path.parent, trials_of(path.stem)):
        with suppress(OSError), h5py.File(source, "r", locking=False) as file:
            if store.MARGINS[0] in file:
                return True
    return False
