"""Estimate memorization and influence from the subset models of one recipe."""

import numpy as np

from memaudit.data.dataset import load
from memaudit.models.shards import Origin, read_shards
from memaudit.scores.facade import ESTIMATORS, Scores
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    params, shards = snakemake.params, list(snakemake.input.shards)
    fields = ["train_mask", *ESTIMATORS[params.estimator]]
    origin = Origin.of_subsets(params.recipe, params.seed, params.fraction, data)
    found = read_shards(shards, range(params.models), fields, origin, unpack=False)
    arrays = (found[field] for field in fields)
    scores = Scores.estimate(params.estimator, *arrays, data.train_labels, data.test_labels)
    scores.write(snakemake.output[0], estimator=params.estimator)
    memorization = scores.memorization
    report.say(
        f"memorization of {data.n_train} examples from {params.models} models: mean "
        f"{np.mean(memorization.value):.3f}; {np.mean(memorization.value >= 0.25):.1%} of the "
        f"examples at 0.25 or above; largest standard error {np.max(memorization.se):.3f}"
    )
