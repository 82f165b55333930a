"""`memaudit run`: snakemake with the workflow that the package carries.

usage: memaudit run [targets] [snakemake options]

Run the study in the current folder with the workflow that memaudit carries. All targets and options
are those of snakemake (`snakemake --help`); the settings of profiles/default apply. A folder with a
config/config.yaml uses it, any other the shipped one; files given with --configfile override
single keys of it, and targets come before them. Names of shipped files are found
from any folder: config/demo.yaml, the profiles slurm and workstation.

examples:
  memaudit run --configfile study.yaml               the whole study
  memaudit run --configfile study.yaml --dry-run     list the jobs that are out of date
  memaudit run results/photos/table2.csv --configfile study.yaml
  memaudit run --configfile study.yaml --profile slurm
  memaudit run --configfile config/demo.yaml         the demo: minutes on two CPU cores
"""

import argparse
import getpass
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from memaudit.errors import AuditError, require
from memaudit.study.home import home

HELP = (__doc__ or "").partition("\n\n")[2]

QUIET = ["--quiet", "rules", "host", "reason"]
DRY = ("-n", "--dry-run", "--dryrun")
KEYS = ("--config", "-C")
CONFIGURATIONS = ("--configfile", "--configfiles")
PROFILES = ("--profile", "--workflow-profile")


def main(arguments: list[str]) -> int:
    """Run snakemake on the packaged workflow; returns its exit status."""
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    _provide_cache()
    _provide_name()
    snakemake = require("snakemake.cli", extra="workflow")
    located: list[str] | None = None
    given = [argument.partition("=")[0] for argument in arguments]
    if not {"-s", "--snakefile"} & set(given):
        # progress bars on a terminal, else a few lines per job, without its lists of files
        display = ["--logger", "rich"] if sys.stderr.isatty() else QUIET
        if {"--logger", "--quiet", "-q", "--verbose", *DRY} & set(given):
            display = []
        located = _located(arguments)
        _check(located)
        arguments = [*display, "--snakefile", str(home() / "Snakefile"), *located]
    try:
        with _short_usage():
            snakemake.main(arguments)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    else:
        status = 0
    if located is not None and not status and {*DRY} & set(given):
        _name_plan(located)
    return status


def _name_plan(arguments: list[str]) -> None:
    """Print the command that says what the jobs of a dry run cost."""
    command = ["memaudit", "plan"]
    for options in (CONFIGURATIONS, KEYS, ("--directory", "-d")):
        if values := [value for option, value in _values(arguments) if option in options]:
            command += [options[0], *values]
    print(f"\nWhat these jobs cost and replace: {shlex.join(command)}", file=sys.stderr)


@contextmanager
def _short_usage() -> Iterator[None]:
    """Report a wrong option without Snakemake's usage of a hundred lines."""

    def error(_: argparse.ArgumentParser, message: str) -> NoReturn:
        print(f"error: {message}; `snakemake --help` lists all options", file=sys.stderr)
        sys.exit(2)

    shown = argparse.ArgumentParser.error
    argparse.ArgumentParser.error = error  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        argparse.ArgumentParser.error = shown  # type: ignore[method-assign]


def _provide_cache() -> None:
    """Use a temporary cache where that of the user, which Snakemake needs, is not writable."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return
    except OSError as error:
        made = tempfile.mkdtemp(prefix="memaudit-cache-")
        os.environ["XDG_CACHE_HOME"] = made
        print(
            f"{cache}: not writable ({error.strerror}); using {made}. To choose another folder, "
            "set XDG_CACHE_HOME",
            file=sys.stderr,
        )


def _provide_name() -> None:
    """Give the user a name where the system knows none, as in a container; Snakemake needs one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"user{os.getuid()}"


def _check(arguments: list[str]) -> None:
    """Raise AuditError if no file of a study is given where there is one, or one is no YAML.

    Also for keys without a value, for which Snakemake prints a traceback.
    """
    from memaudit.study.checks import check_files

    options = list(_values(arguments))
    written = Path(dict(options).get("--directory") or dict(options).get("-d") or ".")
    if written.is_dir() and not os.access(written, os.W_OK) and "--version" not in arguments:
        raise AuditError(
            f"{written.resolve()}: not writable; run in a folder of your own, with the path of the "
            "configuration after --configfile"
        )
    files = [value for option, value in options if option in CONFIGURATIONS and value]
    named = [argument.partition("=")[0] for argument in arguments]
    if not files and (without := [name for name in named if name in CONFIGURATIONS]):
        raise AuditError(f"{without[0]}: name a file after it, such as study.yaml")
    for option, value in options:
        if option in KEYS and not re.match(r"[A-Za-z_][\w-]*\w=", value):
            raise AuditError(f"{option} {value}: must be name=value, such as {option} trials=3")
    check_files(file for file in files if Path(file).is_file())
    is_papers = not files and not Path("config/config.yaml").exists()
    if is_papers and Path("study.yaml").exists() and "--version" not in arguments:
        raise AuditError(
            "no configuration is named, so this would be the paper's study on CIFAR-100. Add "
            "--configfile study.yaml, or --configfile config/config.yaml for the paper's"
        )


def _values(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each value with the option that it follows or is joined to by =."""
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option, is_joined, value = argument.partition("=")
            if is_joined:
                yield option, value
        else:
            yield option, argument


def _located(arguments: list[str]) -> list[str]:
    """Replace the names of shipped configuration files and profiles by their paths."""
    found, option = [], ""
    for argument in arguments:
        if argument.startswith("-"):
            option, is_joined, value = argument.partition("=")
            found.append(f"{option}={_shipped(option, value)}" if is_joined else option)
        else:
            found.append(_shipped(option, argument))
    return found


def _shipped(option: str, value: str) -> str:
    """Return the path of a shipped file that an option names, else `value` itself.

    Raises AuditError if there is no such configuration file.
    """
    folder = home() / "profiles" if option in PROFILES else home()
    if option not in CONFIGURATIONS + PROFILES or Path(value).exists():
        return value
    if (folder / value).exists():
        return str(folder / value)
    if option in CONFIGURATIONS:
        raise AuditError(f"{value}: configuration file not found; targets come before {option}")
    return value
