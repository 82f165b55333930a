"""Estimate the influence of every training example on every test example, for one recipe."""

from memaudit.study.jobs import job  # isort: skip, first: handles Ctrl-C while torch is imported

from memaudit.data.dataset import load
from memaudit.models.device import choose_device, describe
from memaudit.models.shards import Origin, read_shards
from memaudit.scores.all_pairs import write_all_pairs

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    params = snakemake.params
    origin = Origin.of_subsets(params.recipe, params.seed, params.fraction, data)
    fields = ["train_mask", "test_correct"]
    shards = list(snakemake.input.shards)
    found = read_shards(shards, range(params.models), fields, origin, unpack=False)
    device = choose_device(params.training["device"], report, params.training["processes_per_gpu"])
    on = describe(device) if device.type == "cuda" else f"the CPU, threads: {snakemake.threads}"
    report.say(f"{data.n_train} x {data.n_test} influences from {params.models} models, on {on}")
    write_all_pairs(
        snakemake.output[0],
        found["train_mask"],
        found["test_correct"],
        data.train_labels,
        data.test_labels,
        device=str(device),
        report=report,
    )
