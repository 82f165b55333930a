"""The option --output of the subcommands."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path

from memaudit.errors import AuditError


def output_path(text: str) -> Path:
    """Return the path that an option names; "-" is the standard output."""
    return Path("/dev/stdout" if text == "-" else text)


@contextmanager
def reserved(output: Path, force: bool = True) -> Iterator[None]:
    """Check that `output` can be written; messages go to stderr where it is the standard output.

    Raises AuditError before there is anything to write, and without `force` for a file that exists.
    """
    from memaudit import store

    is_stdout = store.is_stdout(output)
    if output.is_file() and not is_stdout and not force:
        raise AuditError(f"{output}: file exists; use --force to overwrite it, or another --output")
    store.check_writable(output)
    with redirect_stdout(sys.stderr) if is_stdout else nullcontext():
        yield
