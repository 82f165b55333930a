"""The parsers and outputs of the subcommands."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from pathlib import Path

from memaudit.errors import AuditError


def new_parser(command: str, description: str, doc: str | None) -> argparse.ArgumentParser:
    """Return the parser of a subcommand; its help ends with `doc` from the second paragraph on."""
    return argparse.ArgumentParser(
        prog=f"memaudit {command}",
        description=description,
        epilog=(doc or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


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
        classes = [found.resolve() for found in source.glob("*/*/")]  # may be links to elsewhere
        is_input = source.resolve() == target.resolve() or (
            target.exists()
            and (
                (source.exists() and source.samefile(target)) or any(map(_holding(target), classes))
            )
        )
        if is_input or source.resolve() in folder.parents or folder in classes:
            where = "an input" if is_input else f"among the images of {given}"
            raise AuditError(f"{output}: this is {where}; write to another file")


def _holding(target: Path) -> Callable[[Path], bool]:
    """Return whether a folder holds an existing file, also as a link; without a stat per entry."""
    number = target.stat().st_ino

    def holds(folder: Path) -> bool:
        with suppress(OSError), os.scandir(folder) as entries:
            likely = (Path(e) for e in entries if e.inode() == number or e.is_symlink())
            return any(file.exists() and file.samefile(target) for file in likely)
        return False

    return holds
