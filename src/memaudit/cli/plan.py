"""`memaudit plan`: what a study costs, before it runs.

usage: memaudit plan [snakemake options]

Print what the configured study costs (models, hours on this machine, disk, downloads), how many
models its questions need, and which jobs are out of date. Takes the options of `memaudit run`.

example:
  memaudit plan --configfile study.yaml
"""

import subprocess
import sys

HELP = (__doc__ or "").partition("\n\n")[2]


def main(arguments: list[str]) -> int:
    """Print the plan, or what snakemake reports if it fails; returns its exit status."""
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    quiet = ["--quiet", "rules", "host", "progress", "reason", "--nolock"]
    command = [sys.executable, "-m", "memaudit", "run", "plan", *quiet, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, end="", file=sys.stderr)
    else:
        print(done.stdout, end="")
    return done.returncode
