"""`memaudit run`: snakemake with the workflow that the package carries."""

from pathlib import Path

from memaudit.errors import require
from memaudit.study.home import home

HELP = """\
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

# options whose values may name a shipped file or profile
_FILES = ("--configfile", "--configfiles", "--profile", "--workflow-profile")


def main(arguments: list[str]) -> int:
    """Run snakemake on the packaged workflow; returns its exit status."""
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    return run(arguments)


def run(arguments: list[str]) -> int:
    """Run snakemake with `arguments`; returns its exit status."""
    snakemake = require("snakemake.cli", extra="workflow")
    given = [argument.partition("=")[0] for argument in arguments]
    if not {"-s", "--snakefile"} & set(given):
        arguments = ["--snakefile", str(home() / "Snakefile"), *_located(arguments)]
    try:
        snakemake.main(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _located(arguments: list[str]) -> list[str]:
    """Replace the names of shipped configuration files and profiles by their paths."""
    found, option = [], ""
    for argument in arguments:
        name, is_joined, value = argument.partition("=")
        if argument.startswith("-"):
            option = name
            if is_joined and option in _FILES:
                argument = f"{option}={_shipped(value)}"
        elif option in _FILES:
            argument = _shipped(argument)
        found.append(argument)
    return found


def _shipped(name: str) -> str:
    """Return the path of a shipped file or profile, or `name` if the working folder has it."""
    shipped = (home() / folder / name for folder in (".", "profiles"))
    candidates = [Path(name), *shipped]
    return str(next((path for path in candidates if path.exists()), name))
