"""Exceptions whose message is meant for the user."""

from importlib import import_module
from typing import Any


class AuditError(Exception):
    """Bad input: the message names what is wrong, where, and what to do about it.

    Raised for everything a user can mend: configuration, images, files on disk, a training that
    diverged. Whoever runs a job prints the message without a traceback.
    """


class MissingExtraError(AuditError, ImportError):
    """A package is not installed that an extra of memaudit installs."""


class Stopped(Exception):  # noqa: N818, nothing went wrong
    """The process was asked to end, and has saved what it had."""


def install_command(extra: str = "") -> str:
    """Return the command that installs memaudit, with an extra.

    From a clone: `memaudit` in the Python package index is another project.
    """
    return f"pip install '.[{extra}]'" if extra else "pip install ."


def require(module: str, extra: str) -> Any:
    """Import and return `module`, which the optional dependencies `extra` of memaudit install.

    Raises MissingExtraError naming the command that installs them when the module is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed; install it with: {install_command(extra)} (in a clone "
            "of memaudit)"
        ) from error
