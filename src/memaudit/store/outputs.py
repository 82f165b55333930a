"""Output files: written beside their place, then renamed, so that one that exists is complete."""

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memaudit.errors import AuditError
from memaudit.store.system_errors import reason

_MAX_LINKS = 40  # as Linux has it
# an open file of this process, by the names that Linux and macOS give it
_DESCRIPTOR = re.compile(r"(?:/dev/(?:fd/)?|/proc/(?:self|thread-self)/fd/)(std(?:in|out|err)|\d+)")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it is flushed and renamed to `path`.

    A file that exists is therefore complete. On any exception the temporary file is removed and an
    existing `path` is kept. A link is followed: the file that it leads to is replaced. What is
    written to an open descriptor (`/dev/stdout`, `/dev/fd/3`) or a character device (`/dev/null`)
    is copied there at the end. Raises AuditError for a folder, pipe, socket or block device, and
    if the disk is full or not writable.
    """
    with explained_errors(path):
        target = destination(path)
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
    with explained_errors(path):
        target = destination(path)
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
    with explained_errors(path):
        return destination(path) == 1


@contextmanager
def explained_errors(path: str | Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader of the output has seen enough
    except OSError as error:
        raise AuditError(
            f"{path}: could not be written ({reason(error)}). Earlier results are unchanged; free "
            "disk space or fix the permissions, then run again."
        ) from error


def destination(path: str | Path) -> Path | int:
    """Return what `path` leads to: an open descriptor of this process, or a path that is no link.

    Links are followed one by one, because /dev/stdout leads to a file of another name where the
    shell redirects it, which must not be replaced but written to.
    """
    target = Path(path)
    for _ in range(_MAX_LINKS):
        if opened := _DESCRIPTOR.fullmatch(str(target)):
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
    return target.with_name(f"{remains_prefix(target)}{uuid.uuid4().hex[:12]}.tmp")


def remains_prefix(target: Path) -> str:
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
