"""Memorization under another recipe than the one that selects, and what that would select."""

import numpy as np

from memaudit import store
from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load
from memaudit.figures.sweeps import rescored as figure
from memaudit.models.shards import Origin, read_shards
from memaudit.scores import estimate as scores
from memaudit.scores import rescored
from memaudit.scores.selection import select, select_pairs, selecting_half
from memaudit.study.jobs import job
from memaudit.tables import read_rows

FIELDS = ["train_mask", "train_correct", "test_correct"]

with job(snakemake.log[0]) as report:
    params = snakemake.params
    data = load(snakemake.input.dataset)
    labels = data.train_labels, data.test_labels
    thresholds = dict(params.thresholds)
    counts = np.ones(data.n_test, dtype=bool)
    if thresholds.pop("held_out_half"):
        counts = selecting_half(data.test_labels, params.seed)

    def scored(memorization: np.ndarray, pairs) -> rescored.Scored:
        """With the pairs whose test example has a part in the selection."""
        kept = frozenset((pair.train, pair.test) for pair in pairs if counts[pair.test])
        return rescored.Scored(memorization, kept)

    def by_file(path: str) -> rescored.Scored:
        with store.reading(path, store.SCORES) as file:
            memorization = scores.read_memorization(file).value
        return scored(memorization, select_pairs(path, **thresholds))

    def by_models(models: range, mask, train_correct, test_correct) -> rescored.Scored:
        at = slice(models.start, models.stop)
        memorization = scores.memorization(mask[at], train_correct[at])
        blocks = scores.influence_blocks(mask[at], test_correct[at], *labels)
        return scored(memorization.value, select(memorization, blocks, **thresholds))

    whole = by_file(snakemake.input.first), by_file(snakemake.input.second)
    split = rescored.halves(params.models, params.fraction)
    parts = None
    if split[0]:
        parts = []
        both = snakemake.input.first_shards, snakemake.input.second_shards
        for recipe, shards in zip(params.recipes.values(), both, strict=True):
            origin = Origin("subset", recipe, params.seed, data.digest())
            models = read_shards(list(shards), range(params.models), FIELDS, origin)
            parts.append(
                tuple(by_models(half, *(models[field] for field in FIELDS)) for half in split)
            )
    names = tuple(params.recipes)
    rows = rescored.compare(names, whole, params.models, parts, len(split[0]))
    rescored.write_quantities(rows, snakemake.output.csv)
    buckets = {row.example: row.bucket for row in read_rows(snakemake.input.buckets, Assignment)}
    figure(names, whole, buckets, thresholds["memorization"], snakemake.output.png)
    for row in rows:
        report(f"{row.quantity}: {row.value:.4g}")
    report.say(f"{snakemake.output.csv}: {names[0]} and {names[1]} compared")
