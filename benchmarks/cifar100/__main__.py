"""Recompute the tables, figures and pages of docs/cifar100 from its files, without any image.

    python benchmarks/cifar100                        # rewrite docs/cifar100
    python benchmarks/cifar100 --study gpu --restore  # first copy its models to results/
    python benchmarks/cifar100 --study gpu --collect  # first copy finished models from there

The two studies are config/cifar100-gpu.yaml (docs/cifar100) and config/cifar100-cpu.yaml
(docs/cifar100/cpu). Both remove the same examples; docs/cifar100 holds what these follow from. A
trial counts once every arm has its model; the models of a trial must be trained on one type of
processor. --restore leaves out models of incomplete trials from other processors than this one.
"""

import argparse
from pathlib import Path

from copies import collect, restore
from page import publish
from studies import ROOT, STUDIES, the_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--study", choices=STUDIES, help="one of the two; default: both")
    parser.add_argument("--restore", action="store_true", help="copy models to the results folder")
    parser.add_argument("--collect", action="store_true", help="copy models from there")
    parser.add_argument("--results", type=Path, help="the results folder, if not the study's")
    given = parser.parse_args()
    for kind in [given.study] if given.study else STUDIES:
        study, folder = the_study(kind), STUDIES[kind]
        results = given.results or ROOT / study.results
        if given.restore:
            restore(study, folder, results)
        if given.collect:
            collect(study, results, folder)
        publish(kind, study, folder, folder)


if __name__ == "__main__":
    main()
