"""Write the study's summary."""

from pathlib import Path

from memaudit import store, tables
from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.data.dataset import load
from memaudit.results import summary
from memaudit.scores.reliability import Quantity
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    params, given = snakemake.params, snakemake.input
    data = load(given.dataset)
    models = [
        summary.trained(*arm.split("/"), shards, data.n_train)
        for arm, shards in params.shards.items()
    ]
    texts = {name: Path(given[name]).read_text("utf-8") for name in ("answer", "table", "claims")}
    found = summary.Found(
        assignments=tables.read_rows(given.buckets, Assignment),
        leaks=tables.read_rows(given.leaks, Leak),
        pairs=len(tables.read_rows(given.pairs, Pair)),
        answer=texts["answer"].strip(),
        table=summary.first_table(texts["table"]),
        claims=summary.first_table(texts["claims"]),
        agreement=[row for path in given.reliability for row in tables.read_rows(path, Quantity)],
    )
    store.write_text(snakemake.output[0], summary.markdown(params.config, data, models, found))
