"""HDF5 files of a study: declared contents, atomic writing, checks on reading.

Every dataset of every file is declared here once: name, dtype, shape (as named dimensions) and
unit. A file begins with its SHA-256 in the block that HDF5 reserves for users, so corruption is
detected before HDF5 reads the file.
"""

import errno
import glob
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from memaudit.errors import AuditError


@dataclass(frozen=True)
class Field:
    """One dataset of an HDF5 file; equal names in `shape` are dimensions of equal length."""

    dtype: str
    shape: tuple[str | int, ...]
    unit: str
    optional: bool = False


# Bits are packed along the last axis with numpy.packbits (big-endian bit order); the attributes
# n_train and n_test give the number of valid bits.
DATASET = {
    "train/images": Field("uint8", ("n_train", "height", "width", 3), "RGB, 0 to 255"),
    "train/labels": Field("int64", ("n_train",), "class, an index into class_names"),
    "train/names": Field("str", ("n_train",), "file the image came from", optional=True),
    "test/images": Field("uint8", ("n_test", "height", "width", 3), "RGB, 0 to 255"),
    "test/labels": Field("int64", ("n_test",), "class, an index into class_names"),
    "test/names": Field("str", ("n_test",), "file the image came from", optional=True),
    "class_names": Field("str", ("classes",), "name"),
    "planted/train_role": Field("str", ("n_train",), "what was planted", optional=True),
    "planted/train_subpopulation": Field("int64", ("n_train",), "number", optional=True),
    "planted/test_role": Field("str", ("n_test",), "what was planted", optional=True),
    "planted/test_subpopulation": Field("int64", ("n_test",), "number", optional=True),
    "planted/test_copy_of": Field("int64", ("n_test",), "training example or -1", optional=True),
    "planted/test_edit": Field("str", ("n_test",), "kind of edit or empty", optional=True),
}
SHARD = {
    "trial": Field("int64", ("models",), "trial"),
    "train_mask": Field("uint8", ("models", "train_bytes"), "bit: the example was in training"),
    "train_correct": Field("uint8", ("models", "train_bytes"), "bit: predicted its label"),
    "test_correct": Field("uint8", ("models", "test_bytes"), "bit: predicted its label"),
    "rate": Field("float32", ("models", "epochs"), "learning rate, mean over the epoch's steps"),
    "loss": Field("float32", ("models", "epochs"), "nats, mean over the epoch's steps"),
    "train_accuracy": Field(
        "float32", ("models", "epochs"), "fraction, on augmented images while training"
    ),
    "test_accuracy": Field("float32", ("models", "epochs"), "fraction; NaN where not evaluated"),
    "seconds": Field("float64", ("models",), "wall seconds of training and evaluation"),
    # of subset models, if `memorization.store_margins`
    **{
        f"{side}_{name}": Field("float16", ("models", f"n_{side}"), unit, optional=True)
        for side in ("train", "test")
        for name, unit in (
            ("margin", "logit of the label minus the largest other logit"),
            ("log_odds", "log(p / (1 - p)) of the label's probability p"),
        )
    },
}
MARGINS = [name for name, field in SHARD.items() if field.optional]
SCORES = {
    "train_labels": Field("int64", ("n_train",), "class"),
    "test_labels": Field("int64", ("n_test",), "class"),
    "memorization": Field("float32", ("n_train",), "difference of two probabilities"),
    "memorization_se": Field("float32", ("n_train",), "standard error"),
    "n_in": Field("int64", ("n_train",), "models trained with the example"),
    "n_out": Field("int64", ("n_train",), "models trained without the example"),
    "influence/*/train_index": Field("int64", ("class_train",), "training example"),
    "influence/*/test_index": Field("int64", ("class_test",), "test example"),
    "influence/*/influence": Field(
        "float32", ("class_train", "class_test"), "difference of two probabilities"
    ),
    "influence/*/influence_se": Field("float32", ("class_train", "class_test"), "standard error"),
    "influence/*/z": Field(
        "float32", ("class_train", "class_test"), "evidence, standard errors", optional=True
    ),
}
ALL_PAIRS = {
    "train_labels": Field("int64", ("n_train",), "class"),
    "test_labels": Field("int64", ("n_test",), "class"),
    "n_in": Field("int64", ("n_train",), "models trained with the example"),
    "n_out": Field("int64", ("n_train",), "models trained without the example"),
    "test_right": Field("int64", ("n_test",), "models that are right on the example"),
    "influence": Field("float32", ("n_train", "n_test"), "difference of two probabilities"),
}
ACCURACIES = {
    "*/trial": Field("int64", ("models",), "trial"),
    "*/test_accuracy": Field("float64", ("models",), "percent"),
    "*/test_correct": Field("uint8", ("models", "test_bytes"), "bit: predicted its label"),
    "*/train_accuracy": Field(
        "float64", ("models",), "percent, on the examples trained on as they are", optional=True
    ),
    "*/n_removed": Field("int64", ("models",), "training examples left out"),
}


MAX_LINKS = 40  # as Linux has it
# an open file of this process, by the names that Linux and macOS give it
DESCRIPTOR = re.compile(r"(?:/dev/(?:fd/)?|/proc/(?:self|thread-self)/fd/)(std(?:in|out|err)|\d+)")

SEAL_BYTES = 512  # HDF5's user block, which holds the checksum
SUPERBLOCK_BYTES = 48  # of HDF5, which follow it
OPEN_FLAG, WRITE_FLAGS = 0b001, 0b101  # open for writing; the latter bit: while others read
HDF5 = b"\x89HDF\r\n\x1a\n"  # first bytes of a file without a checksum, which is not verified

# What a user does about an error of the system on reading
_FILE_SYSTEM = "The disk or the file server failed; check it and run again"
_LOCKS = "Set HDF5_USE_FILE_LOCKING=FALSE where the file system has no locks, and run again"
_LIMIT = "Raise the limit (ulimit -n) or run fewer jobs at a time"
_PERMISSION = "Fix its permissions, or those of its folder"
SYSTEM_ERRORS = {
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENXIO, errno.ETIMEDOUT), _FILE_SYSTEM),
    **dict.fromkeys((errno.ENOLCK, errno.EAGAIN, errno.ENOSYS, errno.EOPNOTSUPP), _LOCKS),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _LIMIT),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _PERMISSION),
}
# What is lost with a damaged file
_COMPUTED = "Nothing is lost: it is recomputed from other files of the study, without training."
LOSSES = (
    (DATASET, "No model is lost as long as the images that it is rebuilt from are the same."),
    *((contract, _COMPUTED) for contract in (SCORES, ALL_PAIRS, ACCURACIES)),
)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it is flushed and renamed to `path`.

    A file that exists is therefore complete. On any exception the temporary file is removed and an
    existing `path` is kept. A link is followed: the file that it leads to is replaced. What is
    written to an open descriptor (`/dev/stdout`, `/dev/fd/3`) or a character device (`/dev/null`)
    is copied there at the end. Raises AuditError for a folder, pipe, socket or block device, and
    if the disk is full or not writable.
    """
    with _os_errors(path):
        target = _destination(path)
        is_file = isinstance(target, Path) and _is_regular(target)
        if isinstance(target, Path) and is_file:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = _beside(target)
        else:
            descriptor, name = tempfile.mkstemp(prefix="memaudit-")
            os.close(descriptor)
            temporary = Path(name)
        try:
            yield temporary
            if isinstance(target, Path) and is_file:
                _replace(temporary, target)
            else:
                _copy_to(temporary, target)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise AuditError if `atomic_write(path)` would fail, before there is anything to write."""
    with _os_errors(path):
        target = _destination(path)
        if isinstance(target, int):
            os.write(target, b"")  # fails if it is not open for writing
        elif _is_regular(target):
            if target.exists() and not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            folders = target.absolute().parents
            with tempfile.TemporaryFile(dir=next(folder for folder in folders if folder.exists())):
                pass
        else:
            open(target, "wb").close()


def is_stdout(path: str | Path) -> bool:
    """Return whether `path` is the standard output, under any of its names."""
    with _os_errors(path):
        return _destination(path) == 1


@contextmanager
def _os_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of the output has seen enough
    except OSError as error:
        raise AuditError(
            f"{path}: could not be written ({reason(error)}). Earlier results are unchanged; free "
            "disk space or fix the permissions, then run again."
        ) from error


def _destination(path: str | Path) -> Path | int:
    """Return what `path` leads to: an open descriptor of this process, or a path that is no link.

    Links are followed one by one, because /dev/stdout leads to a file of another name where the
    shell redirects it, which must not be replaced but written to.
    """
    target = Path(path)
    for _ in range(MAX_LINKS):
        if opened := DESCRIPTOR.fullmatch(str(target)):
            names = {"stdin": 0, "stdout": 1, "stderr": 2}
            return names[opened[1]] if opened[1] in names else int(opened[1])
        if not target.is_symlink():
            return target
        target = target.parent / target.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_regular(path: Path) -> bool:
    """Return whether `path` is a regular file or nothing; False for a character device.

    Raises AuditError for anything else.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return True
    if stat.S_ISREG(mode) or stat.S_ISCHR(mode):
        return stat.S_ISREG(mode)
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "block device")
    hint = "; to pipe the output, write to /dev/stdout" if kind == "pipe" else ""
    raise AuditError(f"{path}: is a {kind}; name a file to write to{hint}")


def _beside(target: Path) -> Path:
    """Return a new name in the folder of `target`, no longer than a name may be."""
    return target.with_name(f"{_remains_prefix(target)}{uuid.uuid4().hex[:12]}.tmp")


def _remains_prefix(target: Path) -> str:
    return f".{os.fsencode(target.name)[:200].decode(errors='ignore')}."


def _replace(temporary: Path, target: Path) -> None:
    """Rename `temporary` to `target` once it is on the disk, with the permissions of `target`."""
    with suppress(OSError):
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    with open(temporary, "rb") as handle:
        os.fsync(handle.fileno())
    try:
        temporary.replace(target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        shutil.copyfile(temporary, target)  # a single file that is mounted into a container


def _copy_to(temporary: Path, target: Path | int) -> None:
    if isinstance(target, int):
        if target == 1:
            sys.stdout.flush()
        target = os.dup(target)
    with open(temporary, "rb") as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def reason(error: OSError) -> str:
    """Return the system's description of an error on one line (HDF5's own takes several)."""
    number = error_number(error)
    return os.strerror(number) if number else " ".join(str(error).split())


def error_number(error: BaseException) -> int | None:
    """Return the system's number of an error, which HDF5 may only name in its text, or None."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    named = re.search(r"\berrno = (\d+)", str(error))
    return int(named[1]) or None if named else None


def _declared(contract: Mapping[str, Field], name: str) -> tuple[str, Field]:
    for pattern, field in contract.items():
        if fnmatchcase(name, pattern):
            return pattern, field
    raise ValueError(f"{name} is not a field of this kind of file")


class Writer:
    """Adds declared datasets to an open HDF5 file."""

    def __init__(self, file: h5py.File, contract: Mapping[str, Field]):
        self.file = file
        self.contract = contract

    def add(self, name: str, values: Any) -> None:
        _, field = _declared(self.contract, name)
        text = field.dtype == "str"
        values = np.asarray(values, dtype=object if text else field.dtype)
        if values.ndim != len(field.shape):
            raise ValueError(f"{name}: {values.ndim} dimensions, declared {field.shape}")
        options: dict[str, Any] = {"dtype": h5py.string_dtype()} if text else {}
        dataset = self.file.create_dataset(name, data=values, **options)
        dataset.attrs["unit"] = field.unit

    def reserve(self, name: str, shape: tuple[int, ...]) -> h5py.Dataset:
        """Add a dataset whose values follow; its position is fixed and no data is written."""
        _, field = _declared(self.contract, name)
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        dataset = self.file.create_dataset(name, shape, field.dtype, dcpl=early, fill_time="never")
        dataset.attrs["unit"] = field.unit
        return dataset


@contextmanager
def create(
    path: str | Path, contract: Mapping[str, Field], attributes: Mapping[str, Any]
) -> Iterator[Writer]:
    """Open `path` for writing the datasets of `contract`; it appears only when complete.

    HDF5 writes to memory and the finished file is written to disk at once, because HDF5 crashes on
    a full disk.
    """
    memory = io.BytesIO()
    with _in_memory(memory, contract, attributes) as writer:
        yield writer
    content = memory.getbuffer()
    content[:SEAL_BYTES] = _seal(hashlib.sha256(content[SEAL_BYTES:]).hexdigest())
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def create_large(
    path: str | Path,
    contract: Mapping[str, Field],
    attributes: Mapping[str, Any],
    fields: Mapping[str, Any],
    large: Mapping[str, tuple[int, ...]],
) -> Iterator[Callable[[np.ndarray], None]]:
    """Open `path` like `create` when some datasets, `large` (name: shape), do not fit in memory.

    `fields` are the other datasets. Yields a function that appends rows of the first large dataset
    that is incomplete, an array (any number, *shape[1:]). HDF5 lays out the file in memory without
    them, and rows are appended by plain writes, which a full disk does not crash. Space for all of
    them is reserved first, so that too small a disk fails before the computation. Raises AuditError
    as `atomic_write` does, and ValueError for missing rows, surplus rows or another shape.
    """
    path = Path(path)
    memory = _SparseMemory()
    with _in_memory(memory, contract, attributes) as writer:
        for key, values in fields.items():
            writer.add(key, values)
        reserved = {name: writer.reserve(name, shape) for name, shape in large.items()}
        # those without rows have no place in the file
        parts = [_Part.of(name, rows) for name, rows in reserved.items() if rows.nbytes]
        writer.file.flush()
        size = writer.file.id.get_filesize()
    between = []  # what lies before each part, and after the last
    starts, ends = [part.start for part in parts], [part.end for part in parts]
    for start, stop in zip([0, *ends], [*starts, size], strict=True):
        if start > stop:
            raise RuntimeError(f"{path}: HDF5 did not store {', '.join(large)} in this order")
        between.append(bytearray(stop - start))
        memory.seek(start)
        memory.readinto(between[-1])
    with _os_errors(path):
        target = _destination(path)
        if isinstance(target, Path):
            pattern = glob.escape(_remains_prefix(target)) + "*.tmp"
            for left in target.parent.glob(pattern):  # large remains of a killed run
                left.unlink(missing_ok=True)
    with atomic_write(path) as temporary, open(temporary, "wb") as out:
        reserve_space(out.fileno(), size)
        out.write(between[0])
        digest = hashlib.sha256(between[0][SEAL_BYTES:])
        number = 0

        def append(rows: np.ndarray) -> None:
            nonlocal number
            part = parts[min(number, len(parts) - 1)]
            rows = np.ascontiguousarray(rows, dtype=part.dtype)
            if rows.shape[1:] != part.shape[1:] or out.tell() + rows.nbytes > part.end:
                raise ValueError(f"{part.name}: rows {rows.shape} do not fit into {part.shape}")
            out.write(rows.data)
            digest.update(rows.data)
            if out.tell() == part.end:
                number += 1
                out.write(between[number])
                digest.update(between[number])

        yield append
        if number < len(parts):
            raise ValueError(f"{parts[number].name}: rows are missing")
        out.seek(0)
        out.write(_seal(digest.hexdigest()))


@dataclass(frozen=True)
class _Part:
    """A dataset whose rows are appended, with its place in the file in bytes."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    end: int

    @classmethod
    def of(cls, name: str, rows: h5py.Dataset) -> Self:
        start = rows.id.get_offset()
        return cls(name, rows.dtype, rows.shape, start, start + rows.nbytes)


class _SparseMemory(io.RawIOBase):
    """A file in memory in which blocks that were never written take no space."""

    BLOCK = 1 << 16  # bytes

    def __init__(self) -> None:
        self.blocks: dict[int, bytearray] = {}
        self.position = 0
        self.size = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = start + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def write(self, content: Any) -> int:
        content = memoryview(content).cast("B")
        for block, part, at in self._parts(len(content)):
            written = self.blocks.setdefault(block, bytearray(self.BLOCK))
            written[part] = content[at : at + part.stop - part.start]
        self.truncate(max(self.size, self.position))
        return len(content)

    def readinto(self, buffer: Any) -> int:
        buffer = memoryview(buffer).cast("B")
        for block, part, at in self._parts(len(buffer)):
            length = part.stop - part.start
            buffer[at : at + length] = (
                self.blocks[block][part] if block in self.blocks else bytes(length)
            )
        return len(buffer)

    def truncate(self, size: int | None = None) -> int:
        self.size = self.position if size is None else size
        return self.size

    def _parts(self, length: int) -> Iterator[tuple[int, slice, int]]:
        """Yield block number, its part, and place in the buffer for the next `length` bytes."""
        start = self.position
        self.position += length
        while start < self.position:
            block, first = divmod(start, self.BLOCK)
            stop = min(self.BLOCK, first + self.position - start)
            yield block, slice(first, stop), start - self.position + length
            start += stop - first


@contextmanager
def _in_memory(
    memory: io.BytesIO | _SparseMemory, contract: Mapping[str, Field], attributes: Mapping[str, Any]
) -> Iterator[Writer]:
    with h5py.File(memory, "w", userblock_size=SEAL_BYTES) as file:
        for key, value in attributes.items():
            is_nested = isinstance(value, dict | list)
            file.attrs[key] = json.dumps(value, sort_keys=True) if is_nested else value
        yield Writer(file, contract)


def reserve_space(descriptor: int, size: int) -> None:
    """Reserve `size` bytes if the file system can. Raises OSError if the disk is full."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _seal(digest: str) -> bytes:
    """Return the first block of a file; `digest` is the SHA-256 of what follows."""
    return f"memaudit sha256 {digest}".encode().ljust(SEAL_BYTES, b"\n")


def _check_seal(path: str | Path) -> None:
    """Verify the checksum; raises ValueError for damage, _InUseError for the flag of a writer."""
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe would wait for a writer
        raise ValueError("not a file")
    with open(path, "rb") as file:
        head = file.read(SEAL_BYTES)
        is_sealed = head.startswith(b"memaudit sha256 ")
        if not is_sealed and not head.startswith(HDF5):
            raise ValueError("not an HDF5 file" if head else "empty file")
        start = file.read(SUPERBLOCK_BYTES) if is_sealed else head
        closed = _without_flag(start)
        hashes = [hashlib.sha256(content) for content in dict.fromkeys((start, closed))]
        while is_sealed and (block := file.read(2**20)):
            for each in hashes:
                each.update(block)
    if not is_sealed:
        if closed != start:
            raise _InUseError(None)
        return
    matches = [head == _seal(each.hexdigest()) for each in hashes]
    if closed != start:
        raise _InUseError(matches[1])
    if not matches[0]:
        raise ValueError("wrong checksum: truncated or modified since it was written")


def _without_flag(start: bytes) -> bytes:
    """Return the beginning of an HDF5 file without the flag of a program that writes to it.

    HDF5 sets the flag in the superblock when a file is opened for writing and clears it when the
    file is closed. (https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html)
    """
    if not start.startswith(HDF5) or len(start) < SUPERBLOCK_BYTES:
        return start
    at = 20 if start[8] < 2 else 11
    if not start[at] & OPEN_FLAG:
        return start
    return start[:at] + bytes([start[at] & ~WRITE_FLAGS]) + start[at + 1 :]


class UnreadableError(AuditError):
    """A file that cannot be read now, although its content may be intact."""


class _InUseError(Exception):
    """A file has the flag of a program that writes to it; `is_whole` if its checksum is right."""

    def __init__(self, is_whole: bool | None):
        self.is_whole = is_whole


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
    _check_seal(path)
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


_FAILURES = (OSError, KeyError, RuntimeError, ValueError, _InUseError)


def _explained(
    path: str | Path,
    contract: Mapping[str, Field],
    error: Exception,
    remedy: str | Callable[[], str],
) -> AuditError:
    """Return what `error`, raised on reading, means for the user."""
    if isinstance(error, _InUseError) or "already open for write" in str(error):
        return UnreadableError(_in_use(path, getattr(error, "is_whole", None)))
    if unreadable := system_error(path, error):
        return unreadable
    if callable(remedy):
        remedy = remedy()
    elif not remedy:
        losses = [loss for of, loss in LOSSES if of is contract]
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


def system_error(path: str | Path, error: BaseException) -> UnreadableError | None:
    """Return what to raise for an error of the system on reading `path`, None for any other.

    A file that is missing is no such error.
    """
    number = error_number(error)
    if number in (None, errno.ENOENT):
        return None
    hint = SYSTEM_ERRORS.get(number, "")
    return UnreadableError(
        f"{path}: cannot be read ({os.strerror(number)}). This is an error of the system, not "
        f"damage: keep the file.{hint and ' '}{hint}"
    )


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
        pattern, field = _declared(contract, name)
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
