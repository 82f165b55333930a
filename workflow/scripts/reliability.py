"""Compute the reliability of the scores: split halves, standard errors, false selections."""

import numpy as np

from memaudit.data.dataset import load
from memaudit.figures.reliability import reliability as draw
from memaudit.models.shards import Origin, read_shards
from memaudit.scores import reliability
from memaudit.scores.facade import ESTIMATORS, study_scores
from memaudit.scores.selection import Pair, selecting_half
from memaudit.study.jobs import job
from memaudit.tables import read_rows, write_rows

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    params = snakemake.params
    models, seed, fraction = params.models, params.seed, params.fraction
    origin = Origin.of_subsets(params.recipe, params.seed, params.fraction, data)
    fields = ["train_mask", *ESTIMATORS[params.estimator]]
    found = read_shards(list(snakemake.input.shards), range(models), fields, origin)
    thresholds = dict(params.thresholds)
    tests = np.ones(data.n_test, dtype=bool)
    if thresholds.pop("held_out_half"):
        tests = selecting_half(data.test_labels, seed)
    study = reliability.SubsetModels(
        found[fields[0]],
        found[fields[1]],
        found[fields[2]][:, tests],
        data.train_labels,
        data.test_labels[tests],
        fraction,
        params.estimator,
    )
    threshold = thresholds["memorization"]
    agreements = reliability.agreements(study, thresholds, seed)
    scores = study_scores(snakemake.input.scores)
    pairs = read_rows(snakemake.input.pairs, Pair)
    false = reliability.false_pairs(study, scores.memorization.value, thresholds, seed)
    rows = reliability.quantities(scores, pairs, agreements, false, threshold)
    write_rows(snakemake.output.csv, reliability.Quantity, rows)
    examples = reliability.example_rows(scores.memorization, pairs, threshold)
    write_rows(snakemake.output.examples, reliability.ExampleReliability, examples)
    halves = None
    if agreements:
        sets = reliability.disjoint_sets(models, fraction, agreements[-1].models, 0, seed)
        halves = tuple(study.scores(models).memorization.value for models in sets)
    draw(halves, agreements, threshold, models, snakemake.output.figure)
    for row in rows:
        report(f"{row.quantity}, {row.models} models: {row.value:.3g}")
