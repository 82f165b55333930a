"""Attack the subset models by membership inference (LiRA); compare with memorization."""

import numpy as np

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED, Assignment
from memaudit.data.dataset import load
from memaudit.figures.privacy import privacy as draw
from memaudit.models.removals import block_size
from memaudit.models.shards import Origin, read_shards
from memaudit.scores.facade import study_scores
from memaudit.scores.privacy import (
    ATTACKS,
    ExampleLeakage,
    Leakage,
    MembershipAttack,
    example_rows,
    lira,
)
from memaudit.study.jobs import job
from memaudit.tables import read_rows, write_rows

with job(snakemake.log[0]) as report:
    data, params = load(snakemake.input.dataset), snakemake.params
    origin = Origin.of_subsets(params.recipe, params.seed, params.fraction, data)
    fields, trials = ["train_mask", "train_log_odds"], range(params.models)
    found = read_shards(list(snakemake.input.shards), trials, fields, origin, unpack=False)
    memorization = study_scores(snakemake.input.scores).memorization.value
    buckets = {row.example: row.bucket for row in read_rows(snakemake.input.buckets, Assignment)}
    everything = np.arange(data.n_train)
    is_selected = np.isin(everything, list(buckets))
    groups = {"all": everything, "selected": everything[is_selected]}
    for name in (LEAKAGE_SHIFT, MEMORIZED):
        groups[name] = np.array([i for i, b in buckets.items() if b == name], dtype=np.int64)
    groups["not selected"] = everything[~is_selected]
    rows: list[Leakage] = []
    curves = {}

    def attacked(attack: str) -> MembershipAttack:
        parts, _ = block_size(params.fraction)
        one = lira(found["train_mask"], found["train_log_odds"], attack, parts)
        rows.extend(one.leakage(groups, params.seed, memorization))
        shown = groups if attack == "online" else {"all": everything}
        curves.update({(attack, name): one.roc(at) for name, at in shown.items() if len(at)})
        return one

    # one at a time: the scores of an attack take 4 bytes per model and example
    examples = example_rows(attacked(ATTACKS[0]), memorization, buckets)
    attacked(ATTACKS[1])
    write_rows(snakemake.output.csv, Leakage, rows)
    write_rows(snakemake.output.examples, ExampleLeakage, examples)
    draw(curves, examples, snakemake.output.png)
    for row in rows:
        if row.group == "all" and row.quantity in ("auc", "tpr_at_0.001"):
            report.say(f"{row.attack} attack on all examples: {row.quantity} {row.value:.3g}")
