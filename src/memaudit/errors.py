"""Exceptions whose message is meant for the user."""

from importlib import import_module
from typing import Any


class AuditError(Exception):
    """Bad input: the message names what is wrong, where, and what to do about it.

    Raised for everything a user can mend: configuration, images, files on disk, a training that
    diverged. Whoever runs a job prints the message without a traceback.
    """


class Stopped(Exception):  # noqa: N818, nothing went wrong
    """The process was asked to end, and has saved what it had."""


def require(module: str, extra: str) -> Any:
    """Import and return `module`, which the optional dependencies `extra` of memaudit install.

    Raises AuditError naming the command that installs them when the module is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise AuditError(
            f"{error.name} is not installed; install it with: pip install 'memaudit[{extra}]'"
        ) from error
