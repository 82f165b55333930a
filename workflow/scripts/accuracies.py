"""Gather the test accuracies of all arms of Table 2, or of a sweep."""

from memaudit.data.dataset import load
from memaudit.models.removals import read_examples, training_mask
from memaudit.models.shards import Origin
from memaudit.results.accuracies import gather_accuracies
from memaudit.study.jobs import job


def origin(data, digest: str, recipe: str, removal: str) -> Origin:
    """How the models of one arm must have been trained."""
    examples = (
        read_examples(gathered["lists"][removal], data.n_train) if removal != "none" else None
    )
    return Origin(
        removal,
        gathered["recipes"][recipe],
        gathered["seed"],
        digest,
        lambda trial: training_mask(
            removal, trial, data.train_labels, gathered["seed"], examples=examples
        ),
    )


with job(snakemake.log[0]):
    gathered = snakemake.params.gathered
    data = load(snakemake.input.dataset)
    digest = data.digest()
    arms = [
        (
            origin(data, digest, recipe, removal),
            recipe,
            models,
            gathered["shards"][f"{recipe}/{removal}"],
        )
        for recipe, removal, models in gathered["arms"]
    ]
    gather_accuracies(arms, snakemake.output[0])
