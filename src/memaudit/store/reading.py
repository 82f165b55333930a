"""Read HDF5 files after verifying their checksum and their declared contents."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import h5py
import numpy as np

from memaudit.errors import AuditError
from memaudit.store.checksum import InUseError, check_seal
from memaudit.store.fields import ACCURACIES, ALL_PAIRS, DATASET, SCORES, Field, declared
from memaudit.store.system_errors import UnreadableError, system_error

# What is lost with a damaged file
_COMPUTED = "Nothing is lost: it is recomputed from other files of the study, without training."
_LOSSES = (
    (DATASET, "No model is lost as long as the images that it is rebuilt from are the same."),
    *((contract, _COMPUTED) for contract in (SCORES, ALL_PAIRS, ACCURACIES)),
)


def rebuild_hint(path: str | Path) -> str:
    """Return the command that rebuilds a missing or damaged file of the study."""
    name = shlex.quote(str(path))
    return f"To rebuild it: rm -f {name} && snakemake {name} (and your --configfile after it)"


@contextmanager
def reading(
    path: str | Path, contract: Mapping[str, Field], remedy: str | Callable[[], str] = ""
) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading after verifying its checksum and its declared contents.

    No lock is needed, as files appear by renaming. Raises AuditError naming the file and the remedy
    if it is missing, damaged, or does not have the declared datasets, dtypes and shapes, and
    UnreadableError for an error of the system or a file that is open for writing.
    """
    try:
        file = _opened(path, contract)
    except _FAILURES as error:
        raise _explained(path, contract, error, remedy) from None
    with file:
        try:
            yield file
        except OSError as error:  # a failing disk, or damage in a file without a checksum
            raise _explained(path, contract, error, remedy) from error


def _opened(path: str | Path, contract: Mapping[str, Field]) -> h5py.File:
    check_seal(path)
    file = _open_without_lock(path)
    try:
        _check(file, contract)
    except Exception:
        file.close()
        raise
    return file


def _open_without_lock(path: str | Path) -> h5py.File:
    """Open a file as this process has it open already, if it has, else without a lock."""
    for locking in (False, None, True):
        try:
            return h5py.File(path, "r", locking=locking)
        except OSError as error:
            if "flag values don't match" not in str(error):
                raise
    return h5py.File(path, "r", locking="best-effort")


_FAILURES = (OSError, KeyError, RuntimeError, ValueError, InUseError)


def _explained(
    path: str | Path,
    contract: Mapping[str, Field],
    error: Exception,
    remedy: str | Callable[[], str],
) -> AuditError:
    """Return what `error`, raised on reading, means for the user."""
    if isinstance(error, InUseError) or "already open for write" in str(error):
        return UnreadableError(_in_use(path, getattr(error, "is_whole", None)))
    if unreadable := system_error(path, error):
        return unreadable
    if callable(remedy):
        remedy = remedy()
    elif not remedy:
        losses = [loss for of, loss in _LOSSES if of is contract]
        remedy = " ".join([*losses, rebuild_hint(path)])
    if isinstance(error, FileNotFoundError) and Path(path).is_symlink():
        return UnreadableError(
            f"{path}: the file that this link leads to, {Path(path).readlink()}, is not there. "
            "Mount its disk or restore it, and run again"
        )
    if isinstance(error, FileNotFoundError):
        return AuditError(f"{path}: file not found. {remedy}")
    what = " ".join(str(error).split())
    return AuditError(f"{path}: damaged or of another kind ({what}). {remedy}")


def _in_use(path: str | Path, is_whole: bool | None) -> str:
    state = {
        True: "Its arrays are as they were written: the checksum is right without the flag",
        False: "It has been modified since memaudit wrote it",
        None: "Its arrays may be whole",
    }[is_whole]
    return (
        f"{path}: a program has this file open for writing, or ended without closing it (HDF5's "
        f"flag for that is set). {state}. Close it there; if no program has it open, clear the "
        "flag: python -c \"import h5py, sys; h5py.File(sys.argv[1], 'r+').close()\" "
        f"{shlex.quote(str(path))} (or h5clear -s, where h5py refuses)"
    )


def _check(file: h5py.File, contract: Mapping[str, Field]) -> None:
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    for pattern, field in contract.items():
        names = [name for name in found if fnmatchcase(name, pattern)]
        if not names and not field.optional:
            raise ValueError(f"no dataset {pattern!r}")
        for name in names:
            _check_field(file[name], field)
    sizes: dict[str, tuple[int, str]] = {}
    for name in found:
        pattern, field = declared(contract, name)
        group = name.rpartition("/")[0] if "*" in pattern else ""
        for dimension, length in zip(field.shape, file[name].shape, strict=True):
            if isinstance(dimension, int):
                continue
            known, other = sizes.setdefault(f"{group}:{dimension}", (length, name))
            if known != length:
                raise ValueError(f"{name} has {length} {dimension}, {other} has {known}")


def _check_field(dataset: h5py.Dataset, field: Field) -> None:
    if field.dtype == "str":
        good = h5py.check_string_dtype(dataset.dtype) is not None
    else:
        good = dataset.dtype == np.dtype(field.dtype)
    if not good:
        raise ValueError(f"{dataset.name} is {dataset.dtype}, expected {field.dtype}")
    fixed = [(i, d) for i, d in enumerate(field.shape) if isinstance(d, int)]
    if dataset.ndim != len(field.shape) or any(dataset.shape[i] != d for i, d in fixed):
        raise ValueError(f"{dataset.name} has shape {dataset.shape}, expected {field.shape}")
