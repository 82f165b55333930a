"""Write docs/cifar100 from its models and lists of examples."""

from collections import Counter
from pathlib import Path

import numpy as np
from examples import Examples, judged_groups
from findings import fits, write_findings
from studies import FOLDER, N_TEST, STUDIES, complete_trials, processors, the_study

from memaudit import store, tables
from memaudit.study.study import Study
from memaudit.templates import render

TRIED = {"gpu": "learning_rates_tried.csv", "cpu": "networks_tried.csv"}


def publish(kind: str, study: Study, source: Path, output: Path, lists: Path = FOLDER) -> None:
    """Write the tables, figures and page to `output`, from the models of `source`.

    `lists` is the folder with the lists of examples.
    """
    trials = complete_trials(study, source)
    examples = Examples.read(lists)
    found = write_findings(study, source, output, trials, examples) if trials else {}
    page = render(
        "cifar100.md",
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
        leaked=N_TEST - len(examples.leak_free),
        kind=kind,
        tried=tables.read_texts(STUDIES[kind] / TRIED[kind]),
        groups=judged_groups(examples),
        **found,
    )
    store.write_text(output / "README.md", page)
