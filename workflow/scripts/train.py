"""Train the models of one shard: one recipe, one removal, a range of trials."""

from pathlib import Path

from memaudit.data.dataset import load
from memaudit.models.job import train_shard
from memaudit.models.recipe import Recipe
from memaudit.models.removals import read_examples, training_mask
from memaudit.models.shards import partial_folder
from memaudit.study.config import trials_of
from memaudit.study.jobs import job

history = partial_folder(snakemake.output[0]) / "log"
with job(snakemake.log[0], history, quiet=True) as report:
    wildcards, params = snakemake.wildcards, snakemake.params
    settings = snakemake.config["training"]
    data = load(snakemake.input.dataset)
    listed = snakemake.input.get("examples")
    examples = read_examples(listed, data.n_train) if listed else None
    masks = {
        trial: training_mask(
            wildcards.removal, trial, data.train_labels, params.seed, examples, params.fraction
        )
        for trial in trials_of(wildcards.chunk)
    }
    train_shard(
        snakemake.output[0],
        data,
        wildcards.recipe,
        Recipe.of(params.recipe),
        wildcards.removal,
        masks,
        params.seed,
        settings["device"],
        settings["loader"],
        Path(snakemake.input.dataset).with_suffix(".beton"),
        settings["test_every"],
        settings["checkpoint_minutes"],
        report,
        settings["cuda_graphs"],
        settings["processes_per_gpu"],
    )
