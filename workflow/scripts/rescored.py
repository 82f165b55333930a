"""Compare the memorization and the selections of two recipes."""

import numpy as np

from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load
from memaudit.figures.sweeps import rescored as figure
from memaudit.models.shards import Origin, read_shards
from memaudit.scores import reliability, rescored
from memaudit.scores.facade import ESTIMATORS, Scores, study_scores
from memaudit.scores.selection import selecting_half
from memaudit.study.jobs import job
from memaudit.tables import read_rows, write_rows

with job(snakemake.log[0]) as report:
    params = snakemake.params
    data = load(snakemake.input.dataset)
    labels = data.train_labels, data.test_labels
    thresholds = dict(params.thresholds)
    counts = np.ones(data.n_test, dtype=bool)
    if thresholds.pop("held_out_half"):
        counts = selecting_half(data.test_labels, params.seed)

    def scored(scores: Scores) -> rescored.Scored:
        pairs = scores.select(**thresholds)
        kept = frozenset((pair.train, pair.test) for pair in pairs if counts[pair.test])
        return rescored.Scored(scores.memorization.value, kept)

    files = snakemake.input.first, snakemake.input.second
    whole = tuple(scored(study_scores(path)) for path in files)
    sizes = reliability.sizes(params.models, params.fraction)
    halves = None
    if sizes:
        sets = reliability.disjoint_sets(params.models, params.fraction, sizes[-1], 0, params.seed)
        both = snakemake.input.first_shards, snakemake.input.second_shards
        halves = []
        for recipe, shards in zip(params.recipes.values(), both, strict=True):
            origin = Origin.of_subsets(recipe, params.seed, params.fraction, data)
            fields = ["train_mask", *ESTIMATORS[params.estimator]]
            models = read_shards(list(shards), range(params.models), fields, origin)
            study = reliability.SubsetModels(
                *models.values(), *labels, params.fraction, params.estimator
            )
            halves.append(tuple(scored(study.scores(half)) for half in sets))
    names = tuple(params.recipes)
    rows = rescored.compare(names, whole, params.models, halves, sizes[-1] if sizes else 0)
    write_rows(snakemake.output.csv, reliability.Quantity, rows)
    buckets = {row.example: row.bucket for row in read_rows(snakemake.input.buckets, Assignment)}
    figure(names, whole, buckets, thresholds["memorization"], snakemake.output.png)
    for row in rows:
        report(f"{row.quantity}: {row.value:.4g}")
    report.say(f"{snakemake.output.csv}: {names[0]} and {names[1]} compared")
