"""Write Table 2, for machines and for readers, and the answer in a few sentences."""

import numpy as np

from memaudit import store, tables
from memaudit.data.dataset import load
from memaudit.models.removals import read_examples
from memaudit.results import table2
from memaudit.results.answer import answer
from memaudit.scores.selection import selecting_half
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    params, output = snakemake.params, snakemake.output
    settings = table2.Settings(**params.statistics, seed=params.seed, published=params.published)
    test_labels = load(snakemake.input.dataset).test_labels
    subsets = {"leak_free": np.array(read_examples(snakemake.input.leak_free), dtype=np.int64)}
    if params.held_out_half:
        subsets["held_out"] = np.flatnonzero(~selecting_half(test_labels, params.seed))
    rows = table2.table_rows(
        snakemake.input.accuracies,
        [tuple(row) for row in params.rows],
        len(test_labels),
        settings,
        subsets,
    )
    tables.write_rows(output.csv, table2.Table2Row, rows)
    sentences = answer(rows, settings.margin, params.source, params.held_out_half)
    store.write_text(output.answer, f"{sentences}\n")
    store.write_text(
        output.markdown, table2.markdown(rows, params.name, sentences, settings.margin)
    )
    for row in rows:
        report(f"{row.recipe}, {row.removal}: drop {row.drop:.2f} pp, {row.verdict or 'control'}")
