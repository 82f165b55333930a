"""Write docs/cifar100 from its models and lists of examples."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from examples import Examples, judged_groups
from findings import fits, write_findings
from studies import FOLDER, STUDIES, complete_trials, processors, shard, the_study

from memaudit import store, tables
from memaudit.study.study import Study
from memaudit.templates import render

TRIED = {"gpu": "learning_rates_tried.csv", "cpu": "networks_tried.csv"}


def publish(kind: str, study: Study, source: Path, output: Path, lists: Path = FOLDER) -> None:
    """Write the tables, figures and page to `output`, from the models of `source`.

    `lists` is the folder with the lists of examples. Exits if `output` has a table of more trials.
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
    tried = tables.read_texts(STUDIES[kind] / TRIED[kind])
    values = dict(
        kind=kind,
        trials=trials,
        wanted=study.config.trials,
        arms=len(study.arms),
        extra=len(processors(study, source, trials)),
        recipes=study.settings["recipes"],
        fits=fits(study, source, examples, trials),
        both=len(np.intersect1d(examples.influenced, examples.duplicated)),
        cpu_trials=complete_trials(the_study("cpu"), STUDIES["cpu"]),
        influenced=len(examples.influenced),
        margin=study.config.statistics.margin,
        buckets=Counter(row.bucket for row in examples.assignments),
        reasons=Counter(row.reason for row in examples.assignments),
        memorization={
            bucket: examples.mean_memorization(bucket) for bucket in ("leakage_shift", "memorized")
        },
        leaked=len(examples.duplicated),
        tried=tried,
        gains=gains(tried) if kind == "gpu" else None,
        groups=judged_groups(examples),
        **found,
    )
    for name, template in (("README.md", "cifar100.md"), ("reproduce.md", "cifar100_reproduce.md")):
        store.write_text(output / name, render(template, **values))


def gains(tried: list[dict[str, str]]) -> dict:
    """Return what weight decay gained, pp: at each common rate, and between the best rates."""
    found: dict[bool, dict[str, float]] = {False: {}, True: {}}
    for row in tried:
        has_decay = float(row["weight_decay"]) > 0
        found[has_decay][row["learning_rate"]] = float(row["test_accuracy"])
    without, decayed = found[False], found[True]
    return {
        "common": {rate: decayed[rate] - without[rate] for rate in without if rate in decayed},
        "best": max(decayed.values()) - max(without.values()),
    }
