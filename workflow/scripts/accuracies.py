"""Gather the test accuracies of all arms of Table 2."""

from memaudit.data.dataset import load
from memaudit.jobs import job
from memaudit.models.shards import Origin
from memaudit.removals import read_points, training_mask
from memaudit.table2 import gather_accuracies


def origin(data, digest: str, recipe: str, removal: str) -> Origin:
    """How the models of one arm must have been trained."""
    params = snakemake.params
    points = read_points(params.lists[removal], data.n_train) if removal != "none" else None
    return Origin(
        removal,
        params.recipes[recipe],
        params.seed,
        digest,
        lambda trial: training_mask(removal, trial, data.train_labels, params.seed, points),
    )


with job(snakemake.log[0]):
    params = snakemake.params
    data = load(snakemake.input.dataset)
    digest = data.digest()
    arms = [
        (origin(data, digest, recipe, removal), recipe, params.shards[f"{recipe}/{removal}"])
        for recipe, removal in params.arms
    ]
    gather_accuracies(arms, range(params.trials), snakemake.output[0])
