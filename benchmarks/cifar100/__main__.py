"""Recompute the tables, figures and pages of docs/cifar100 from its files, without any image.

    python benchmarks/cifar100                        # rewrite docs/cifar100
    python benchmarks/cifar100 --study gpu --restore  # first copy its models to results/
    python benchmarks/cifar100 --study gpu --collect  # first copy finished models from there
    python benchmarks/cifar100 --study gpu --lists    # first copy changed lists of examples

The two studies are config/cifar100-gpu.yaml (docs/cifar100) and config/cifar100-cpu.yaml
(docs/cifar100/cpu). Both remove the same examples; docs/cifar100 holds what these follow from. A
trial counts once every arm has its model; the models of a trial must be trained on one type of
processor. --restore leaves out models of incomplete trials from other processors than this one.
"""

import argparse
import sys
from pathlib import Path

from copies import collect, collect_lists, restore
from page import checked_findings, write_page
from studies import FOLDER, ROOT, STUDIES, the_study

from memaudit.errors import AuditError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--study", choices=STUDIES, help="whose models or lists are copied")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--restore", action="store_true", help="copy models to the results folder")
    what.add_argument("--collect", action="store_true", help="copy finished models from there")
    what.add_argument("--lists", action="store_true", help="copy the lists of examples from there")
    parser.add_argument("--results", type=Path, help="the results folder, if not the study's")
    given = parser.parse_args()
    if bool(given.study) != (given.restore or given.collect or given.lists):
        parser.error("--study goes with one of --restore, --collect and --lists")
    try:
        if given.study:
            study, folder = the_study(given.study), STUDIES[given.study]
            results = given.results or ROOT / study.results
            if given.restore:
                restore(study, folder, results)
            elif given.collect:
                collect(study, results, folder)
            else:
                collect_lists(study, results)
        found = {
            kind: checked_findings(the_study(kind), folder, folder)
            for kind, folder in STUDIES.items()
        }
        for kind, folder in STUDIES.items():  # the pages quote each other's table
            write_page(kind, the_study(kind), folder, folder, **found[kind])
    except AuditError as error:
        sys.exit(explained(error))


def explained(error: AuditError) -> str:
    """Return the message; the remedy of a committed file is git, not another training."""
    what, _, remedy = str(error).partition(" Unless you have a copy")
    if not remedy or not what.startswith(str(FOLDER)):
        return str(error)
    return f"{what} Restore the committed file: git checkout -- {what.partition(':')[0]}"


if __name__ == "__main__":
    main()
