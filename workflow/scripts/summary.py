"""Write the study's summary."""

from pathlib import Path

from memaudit import store
from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.data.dataset import load
from memaudit.results import summary
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job
from memaudit.tables import read_rows

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
        read_rows(snakemake.input.buckets, Assignment),
        read_rows(snakemake.input.leaks, Leak),
        len(read_rows(snakemake.input.pairs, Pair)),
        **tables,
    )
    with store.atomic_write(snakemake.output[0]) as temporary:
        temporary.write_text(text, encoding="utf-8")
