"""Write the study's summary."""

from pathlib import Path

from memaudit import store
from memaudit.buckets.assign import read_buckets
from memaudit.buckets.leaks import read_leaks
from memaudit.data.dataset import load
from memaudit.results import summary
from memaudit.scores.selection import read_pairs
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    params = snakemake.params
    data = load(snakemake.input.dataset)
    models = [
        summary.trained(*arm.split("/"), shards, data.n_train)
        for arm, shards in params.shards.items()
    ]
    tables = {
        name: summary.first_table(Path(snakemake.input[name]).read_text(encoding="utf-8"))
        for name in ("table", "claims")
    }
    text = summary.markdown(
        params.config,
        data,
        models,
        read_buckets(snakemake.input.buckets),
        read_leaks(snakemake.input.leaks),
        len(read_pairs(snakemake.input.pairs)),
        **tables,
    )
    with store.atomic_write(snakemake.output[0]) as temporary:
        temporary.write_text(text, encoding="utf-8")
