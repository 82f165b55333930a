"""`memaudit plan`: what a study costs, before it runs."""

from memaudit.cli.run import run

HELP = """\
usage: memaudit plan [snakemake options]

Print what the configured study costs (models, hours on this machine, disk, downloads), how many
models its questions need, and which jobs are out of date. Takes the options of `memaudit run`.

example:
  memaudit plan --configfile study.yaml
"""


def main(arguments: list[str]) -> int:
    """Print the plan; returns snakemake's exit status."""
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return 0
    return run(["plan", "--quiet", "all", "--nolock", *arguments])
