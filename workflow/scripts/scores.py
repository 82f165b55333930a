"""Estimate memorization and influence from the subset models of one recipe."""

import numpy as np

from memaudit.data.dataset import load
from memaudit.models.removals import subset_mask
from memaudit.models.shards import Origin, read_shards
from memaudit.scores import estimate as scores
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    shards = list(snakemake.input.shards)
    models, seed = snakemake.params.models, snakemake.params.seed
    fraction = snakemake.params.fraction
    fields = ["train_mask", "train_correct", "test_correct"]
    origin = Origin(
        "subset",
        snakemake.params.recipe,
        seed,
        data.digest(),
        lambda trial: subset_mask(data.n_train, trial, fraction, seed),
    )
    found = read_shards(shards, range(models), fields, origin, unpack=False)
    result = scores.write_scores(
        snakemake.output[0],
        found["train_mask"],
        found["train_correct"],
        found["test_correct"],
        data.train_labels,
        data.test_labels,
    )
    report.say(
        f"memorization of {data.n_train} examples from {models} models: mean "
        f"{np.mean(result.value):.3f}, {np.mean(result.value >= 0.25):.1%} at 0.25 or more, "
        f"standard error at most {np.max(result.se):.3f}"
    )
