"""Read published files: errors are explained, nothing is unpickled."""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from memaudit import store
from memaudit.errors import AuditError

REMEDY = "Download the published file again, or name the right one"


def read_npz(path: str | Path, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the named arrays of an .npz file."""
    found = _load(path)
    if isinstance(found, np.ndarray):
        raise foreign(path, "not an .npz file but a single array")
    if missing := [key for key in keys if key not in found]:
        raise foreign(path, f"it has no {missing[0]!r}")
    return {key: found[key] for key in keys}


def read_npy(path: str | Path) -> np.ndarray:
    """Read the array of an .npy file."""
    found = _load(path)
    if not isinstance(found, np.ndarray):
        raise foreign(path, "not an .npy file but an archive of arrays")
    return found


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of the user's .npz file, or that of an .npy file under the name `scores`."""
    found = _load(path, "Give an .npy or .npz file that numpy.save or numpy.savez wrote")
    return {"scores": found} if isinstance(found, np.ndarray) else found


def _load(path: str | Path, remedy: str = REMEDY) -> np.ndarray | dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            return found if isinstance(found, np.ndarray) else dict(found)
    except FileNotFoundError:
        raise AuditError(f"{path}: file not found") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if unreadable := store.system_error(path, error):
            raise unreadable from None
        # numpy takes every unknown format for a pickle and advises to load it; never do
        why = "no arrays in it" if "allow_pickle" in str(error) else error
        raise foreign(path, f"not a file of numpy arrays, or damaged ({why})", remedy) from None


def check_range(path: str | Path, name: str, index: np.ndarray, count: int) -> None:
    """Raise AuditError unless `index` holds integers from 0 to `count` - 1."""
    if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
        raise foreign(path, f"{name} is {index.dtype} {index.shape}, not a list of indices")
    wrong = (index < 0) | (index >= count)
    if wrong.any():
        raise foreign(path, f"{name} has {index[wrong][0]}, but indices go from 0 to {count - 1}")


def foreign(path: str | Path, what: str, remedy: str = REMEDY) -> AuditError:
    """Return the error for a file that is not what was published, or expected."""
    return AuditError(f"{path}: {what}. {remedy}")


def other_order(path: str | Path, what: str) -> AuditError:
    """Return the error for images in another order than the file's indices refer to."""
    return AuditError(
        f"{path}: {what}: the images are not in CIFAR-100's original order, to which its indices "
        "refer. Make the dataset from the original files (dataset.kind: cifar100)"
    )
