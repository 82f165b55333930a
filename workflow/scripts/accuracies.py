"""Gather the test accuracies of all arms of Table 2."""

from memaudit.jobs import job
from memaudit.table2 import gather_accuracies

with job(snakemake.log[0]):
    params = snakemake.params
    shards = {
        (recipe, removal): params.shards[f"{recipe}/{removal}"] for recipe, removal in params.arms
    }
    gather_accuracies(shards, range(params.trials), params.recipes, snakemake.output[0])
