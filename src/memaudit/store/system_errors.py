"""Errors of the operating system on reading and writing, told apart from damage."""

import errno
import os
import re
from pathlib import Path

from memaudit.errors import AuditError

# What a user does about an error of the system on reading
_FILE_SYSTEM = "The disk or the file server failed; check it and run again"
_LOCKS = "Set HDF5_USE_FILE_LOCKING=FALSE where the file system has no locks, and run again"
_LIMIT = "Raise the limit (ulimit -n) or run fewer jobs at a time"
_PERMISSION = "Fix its permissions, or those of its folder"
_HINTS = {
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ENXIO, errno.ETIMEDOUT), _FILE_SYSTEM),
    **dict.fromkeys((errno.ENOLCK, errno.EAGAIN, errno.ENOSYS, errno.EOPNOTSUPP), _LOCKS),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), _LIMIT),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _PERMISSION),
}


class UnreadableError(AuditError):
    """A file that cannot be read now, although its content may be intact."""


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


def system_error(path: str | Path, error: BaseException) -> UnreadableError | None:
    """Return what to raise for an error of the system on reading `path`, None for any other.

    A file that is missing is no such error.
    """
    number = error_number(error)
    cause = error.__context__
    if number is None and isinstance(cause, OSError) and cause.errno in _HINTS:
        number = cause.errno  # zipfile calls every file that it cannot read no zip file
    if number in (None, errno.ENOENT):
        return None
    hint = _HINTS.get(number, "")
    return UnreadableError(
        f"{path}: cannot be read ({os.strerror(number)}). This is an error of the system, not "
        f"damage: keep the file.{hint and ' '}{hint}"
    )
