"""Write docs/cifar100 from its models and lists of examples."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from examples import Examples, judged_groups
from findings import fits, write_findings
from studies import FOLDER, STUDIES, complete_trials, processors, shard

from memaudit import store, tables
from memaudit.results.table2 import Table2Row
from memaudit.study.study import Study
from memaudit.templates import render

TRIED = {"gpu": "learning_rates_tried.csv", "cpu": "networks_tried.csv"}


def checked_findings(study: Study, source: Path, output: Path, lists: Path = FOLDER) -> dict:
    """Write tables and figures; return the examples, the complete trials and what they show.

    Exits if `output` has a table of more trials.
    """
    trials = complete_trials(study, source)
    if (table := output / "table2.csv").exists():
        published = int(tables.read_texts(table)[0]["n_models_full"])
        if trials < published:
            lacking = [shard(source, arm, trials) for arm in study.arms]
            lacking = [str(path) for path in lacking if not path.exists()]
            sys.exit(
                f"{table} has {published} trials, but only {trials} are complete; missing: "
                f"{', '.join(lacking)}. Restore them (git checkout), or delete the table"
            )
    examples = Examples.read(lists)
    found = write_findings(study, source, output, trials, examples) if trials else {}
    return {"examples": examples, "trials": trials, "found": found}


def write_page(
    kind: str,
    study: Study,
    source: Path,
    output: Path,
    *,
    examples: Examples,
    trials: int,
    found: dict,
) -> None:
    """Write the page of a study and how it was made; the table of the other one must be there."""
    tried = tables.read_texts(STUDIES[kind] / TRIED[kind])
    other = next(folder for name, folder in STUDIES.items() if name != kind) / "table2.csv"
    values = dict(
        kind=kind,
        trials=trials,
        wanted=study.config.trials,
        arms=len(study.arms),
        extra=len(processors(study, source, trials)),
        recipes=study.settings["recipes"],
        fits=fits(study, source, examples, trials),
        both=len(np.intersect1d(examples.influenced, examples.duplicated)),
        other=next(row for row in tables.read_rows(other, Table2Row) if is_headline(row)),
        influenced=len(examples.influenced),
        margin=study.config.statistics.margin,
        buckets=Counter(row.bucket for row in examples.assignments),
        reasons=Counter(row.reason for row in examples.assignments),
        memorization={
            bucket: examples.mean_memorization(bucket) for bucket in ("leakage_shift", "memorized")
        },
        leaked=len(examples.duplicated),
        by_finder_alone=len(examples.duplicated_by_finder),
        tried=tried,
        gains=gains(tried) if kind == "gpu" else None,
        groups=judged_groups(examples),
        **found,
    )
    for name, template in (("README.md", "cifar100.md"), ("reproduce.md", "cifar100_reproduce.md")):
        store.write_text(output / name, render(template, **values))


def is_headline(row: Table2Row) -> bool:
    return (row.recipe, row.removal) == ("weight_decay", "selected")


def gains(tried: list[dict[str, str]]) -> dict:
    """Return what weight decay gained, pp: at each common rate, and between the best rates."""
    found: dict[bool, dict[str, float]] = {False: {}, True: {}}
    for row in tried:
        has_decay = float(row["weight_decay"]) > 0
        found[has_decay][row["learning_rate"]] = float(row["test_accuracy"])
    without, decayed = found[False], found[True]
    best = [max(rates, key=rates.__getitem__) for rates in (without, decayed)]
    edges = [(min(rates, key=float), max(rates, key=float)) for rates in (without, decayed)]
    return {
        "common": {rate: decayed[rate] - without[rate] for rate in without if rate in decayed},
        "best": max(decayed.values()) - max(without.values()),
        "best_rates": best,
        "at_edge": all(rate in edge for rate, edge in zip(best, edges, strict=True)),
    }
