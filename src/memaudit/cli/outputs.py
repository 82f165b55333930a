"""The outputs of the subcommands."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path

from memaudit.errors import AuditError


def output_path(text: str) -> Path:
    """Return the path that an option names; "-" is the standard output."""
    return Path("/dev/stdout" if text == "-" else text)


@contextmanager
def reserved(output: Path, *inputs: Path, force: bool = True) -> Iterator[None]:
    """Check that `output` can be written; messages go to stderr where it is the standard output.

    Raises AuditError before there is anything to write, without `force` for a file that exists, and
    always for one of the `inputs`.
    """
    from memaudit import store

    is_stdout = store.is_stdout(output)
    refuse_inputs(output, *inputs)
    if output.is_file() and not is_stdout and not force:
        raise AuditError(f"{output}: file exists; use --force to overwrite it, or name another")
    store.check_writable(output)
    with redirect_stdout(sys.stderr) if is_stdout else nullcontext():
        yield


def refuse_inputs(output: Path, *inputs: Path) -> None:
    """Raise AuditError if writing `output` would replace an input, under any name.

    Inputs are files and folders of images; directly in such a folder, beside train and test, an
    output is allowed.
    """
    from memaudit.store.outputs import destination

    target = destination(output)
    if not isinstance(target, Path):
        return
    folder = target.parent.resolve()
    for given in inputs:
        source = given.expanduser()
        # a class may be a link to a folder elsewhere, an image a hard link
        files = [source, *(source.glob("*/*/*") if target.exists() else ())]
        is_input = source.resolve() == target.resolve() or any(
            target.exists() and file.exists() and file.samefile(target) for file in files
        )
        classes = [found.resolve() for found in source.glob("*/*/")]
        if is_input or source.resolve() in folder.parents or folder in classes:
            where = "an input" if is_input else f"among the images of {given}"
            raise AuditError(f"{output}: this is {where}; write to another file")
