"""Evaluate and fit the probability of another photograph of a scene, on annotated pairs.

    python benchmarks/scenes data/cifar100.h5 [--fit]
    python benchmarks/scenes data/cifar100.h5 --cost

Takes the 1,015 pairs of CIFAR-100 that Feldman and Zhang published, as annotated in
data/annotations. Computes the evidence of `memaudit.duplicates.scene` for them (minutes, the
training of the small network included) and writes it with the folds and the cross-validated
probabilities to benchmarks/results/scene_pairs.csv. Without a dataset the evidence is read from
that file, and only the regressions are fitted again. Prints the measures of docs/duplicates.md.
The probability of pairs that were not selected by influence is fitted to
benchmarks/results/scene_readings.csv. --fit writes the coefficients fitted to all pairs to
src/memaudit/duplicates/calibration.json.
--cost runs the whole search on the dataset instead and writes CPU time and memory of its steps to
benchmarks/results/scene_cost.csv. --network FILE keeps the trained network for the next run.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from cost import cost
from evidence import evidence, keep_network
from measures import report
from readings import selection
from regression import MODELS, chosen, cross_validated

RESULT = Path(__file__).parents[1] / "results/scene_pairs.csv"
FITTED = Path(__file__).parents[2] / "src/memaudit/duplicates/calibration.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dataset", type=Path, nargs="?", help="data/cifar100.h5")
    parser.add_argument("--fit", action="store_true", help="write the coefficients")
    parser.add_argument("--cost", action="store_true", help="measure the whole search instead")
    parser.add_argument("--tests", type=int, default=10_000, help="test images for --cost")
    parser.add_argument("--network", type=Path, help="file of the trained network")
    options = parser.parse_args()
    if options.cost:
        cost(options.dataset, options.network, options.tests)
        return
    if options.dataset:
        keep_network(options.network)
        rows = evidence(options.dataset)
    else:
        rows = pd.read_csv(RESULT)
    coefficients = {}
    for kind in MODELS:
        p, fold = cross_validated(rows, kind)
        rows[f"p_{kind}"], rows["fold"] = p.round(4), fold
        terms, penalty, w = chosen(rows, kind)
        named = {"intercept": w[-1]}
        for name, value in zip(terms, w[:-1], strict=True):
            named |= dict.fromkeys(name if isinstance(name, tuple) else (name,), value)
        print(kind, terms, penalty, {name: round(value, 3) for name, value in named.items()})
        kept = "selected" if kind == "score" else kind
        coefficients[kept] = {name: round(float(value), 4) for name, value in named.items()}
    shift = round(selection(coefficients), 2)
    for kind in ("network", "classical"):
        coefficients[kind]["intercept"] = round(coefficients[kind]["intercept"] - shift, 4)
    network = coefficients["network"]
    together = round(network["global"] + network["cells"], 4)
    coefficients["embedding"] = {**network, "global": together, "cells": 0.0}
    rows.to_csv(RESULT, index=False, float_format="%.4f")
    report(rows)
    if options.fit:
        known = json.loads(FITTED.read_text())
        known["coefficients"] |= coefficients
        known["selection"] = shift
        FITTED.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
