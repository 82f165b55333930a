"""Train the models of one shard: one recipe, one removal, a range of trials."""

from memaudit.study.jobs import job  # isort: skip, first: handles Ctrl-C while torch is imported

from pathlib import Path

from memaudit.data.dataset import load
from memaudit.models.job import ShardJob, TrainingOptions, train_shard
from memaudit.models.recipe import Recipe
from memaudit.models.removals import read_examples, training_mask
from memaudit.models.shards import partial_folder, trials_of
from memaudit.study.owner import claim

shard = snakemake.output[0]
with job(snakemake.log[0], partial_folder(shard) / "log", quiet=True) as report:
    wildcards, params = snakemake.wildcards, snakemake.params
    settings = params.training
    data = load(snakemake.input.dataset)
    claim(Path(snakemake.output[0]).parents[3], Path(snakemake.input.dataset).stem)
    listed = snakemake.input.get("examples")
    examples = read_examples(listed, data.n_train) if listed else None
    masks = {
        trial: training_mask(
            wildcards.removal,
            trial,
            data.train_labels,
            params.seed,
            examples=examples,
            fraction=params.fraction,
        )
        for trial in trials_of(wildcards.chunk)
    }
    shard_job = ShardJob(
        path=shard,
        recipe_name=wildcards.recipe,
        recipe=Recipe.of(params.recipe),
        removal=wildcards.removal,
        masks=masks,
        seed=params.seed,
        subset_fraction=params.fraction,
        margins=params.margins,
        needs_margins=params.margins and params.needs_margins,
    )
    options = TrainingOptions(
        device=settings["device"],
        loader=settings["loader"],
        beton=Path(snakemake.input.dataset).with_suffix(".beton"),
        test_every=settings["test_every"],
        checkpoint_minutes=settings["checkpoint_minutes"],
        cuda_graphs=settings["cuda_graphs"],
        processes_per_gpu=settings["processes_per_gpu"],
    )
    train_shard(data, shard_job, options, report)
