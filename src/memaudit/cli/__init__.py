"""The command `memaudit`: one module per subcommand, imported when it is called."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

from memaudit import __version__
from memaudit.errors import AuditError

COMMANDS = {
    "init": "inspect images and write a study.yaml for them",
    "plan": "estimate what a study costs: models, hours, disk, downloads",
    "run": "run the study (snakemake with the packaged workflow)",
    "duplicates": "find test images that are duplicates of training images",
    "annotations": "compare and merge the decisions of two annotators",
    "scores": "compute memorization and influence from arrays",
    "doctor": "check Python, packages, hardware, disk and Slurm",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (default: `sys.argv`) and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of files that the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    command = _parser().parse_args(given[:1]).command
    try:
        status: int | None = import_module(f"memaudit.cli.{command}").main(given[1:])
        print(end="", flush=True)
    except BrokenPipeError:  # the reader of the output has seen enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    except AuditError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"error: {named}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memaudit",
        description="Does memorization matter for your data? Train, score, remove, retrain.",
        usage="memaudit COMMAND [options]",
        epilog="commands:\n"
        + "\n".join(f"  {name:<12} {summary}" for name, summary in COMMANDS.items())
        + "\n\n`memaudit COMMAND --help` explains a command. Start with `memaudit init FOLDER`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"memaudit {__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help=argparse.SUPPRESS)
    return parser
