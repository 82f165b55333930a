"""Reading other people's files: what is wrong is said, nothing is unpickled."""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from memaudit.errors import AuditError


def read_npz(path: str | Path, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The named arrays of an .npz, or an AuditError; nothing is unpickled."""
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            with found:
                if missing := [key for key in keys if key not in found]:
                    raise foreign(path, f"it has no {missing[0]!r}")
                return {key: found[key] for key in keys}
    except FileNotFoundError:
        raise AuditError(f"{path}: there is no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # numpy takes all it does not know for pickles, and advises to load them; never do
        why = "no arrays in it" if "allow_pickle" in str(error) else error
        raise foreign(path, f"not an .npz file, or a broken one ({why})") from None


def check_range(path: str | Path, name: str, index: np.ndarray, count: int) -> None:
    if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
        raise foreign(path, f"{name} is {index.dtype} {index.shape}, not a list of indices")
    wrong = (index < 0) | (index >= count)
    if wrong.any():
        raise foreign(path, f"{name} has {index[wrong][0]}, but indices go from 0 to {count - 1}")


def foreign(path: str | Path, what: str) -> AuditError:
    return AuditError(f"{path}: {what}; get the published file again, or name the right one")


def other_order(path: str | Path, what: str) -> AuditError:
    return AuditError(
        f"{path}: {what}: the images are not in CIFAR-100's original order, which its indices "
        "mean. Make the dataset from the original archive (cifar-100-binary.tar.gz)."
    )
