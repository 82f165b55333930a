"""Say how far the scores can be relied on: split halves, standard errors, uncertain examples."""

import numpy as np

from memaudit.data.dataset import load
from memaudit.figures.reliability import reliability as draw
from memaudit.models.removals import subset_mask
from memaudit.models.shards import Origin, read_shards
from memaudit.scores import reliability
from memaudit.scores.estimate import memorization
from memaudit.scores.facade import Scores
from memaudit.scores.selection import Pair, selecting_half
from memaudit.study.jobs import job
from memaudit.tables import read_rows

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    models, seed = snakemake.params.models, snakemake.params.seed
    fraction = snakemake.params.fraction
    origin = Origin(
        "subset",
        snakemake.params.recipe,
        seed,
        data.digest(),
        lambda trial: subset_mask(data.n_train, trial, fraction, seed),
    )
    fields = ["train_mask", "train_correct", "test_correct"]
    found = read_shards(list(snakemake.input.shards), range(models), fields, origin)
    thresholds = dict(snakemake.params.thresholds)
    tests = np.ones(data.n_test, dtype=bool)
    if thresholds.pop("held_out_half"):
        tests = selecting_half(data.test_labels, seed)
    study = reliability.SubsetModels(
        found["train_mask"],
        found["train_correct"],
        found["test_correct"][:, tests],
        data.train_labels,
        data.test_labels[tests],
        fraction,
    )
    agreements = reliability.agreements(study, thresholds, seed)
    scores = Scores.from_file(snakemake.input.scores)
    value, se = scores.memorization.value, scores.memorization.se
    errors = np.concatenate([block.influence_se.ravel() for block in scores.influence])
    pairs = read_rows(snakemake.input.pairs, Pair)
    selected = np.zeros(data.n_train, dtype=bool)
    selected[[pair.train for pair in pairs]] = True
    limit = thresholds["memorization"]
    rows = reliability.quantities(
        agreements,
        models,
        value,
        se,
        (float(np.median(errors)), float(errors.max())),
        selected,
        limit,
        len(pairs),
        reliability.chance_pairs(study, value, thresholds, seed),
    )
    reliability.write_quantities(rows, snakemake.output.csv)
    reliability.write_examples(value, se, selected, limit, snakemake.output.examples)
    halves = np.empty((2, 0))
    if agreements:
        sets = reliability.disjoint_sets(models, fraction, agreements[-1].models, 0, seed)
        halves = [memorization(study.mask[m], study.train_correct[m]).value for m in sets]
    draw(halves, agreements, limit, models, snakemake.output.figure)
    for row in rows:
        report(f"{row.quantity}, {row.models} models: {row.value:.3g}")
