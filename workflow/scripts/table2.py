"""Write Table 2, for machines and for readers."""

import numpy as np

from memaudit import store
from memaudit.data.dataset import load
from memaudit.models.removals import read_examples
from memaudit.results import table2, table2_page
from memaudit.scores.selection import selecting_half
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    params = snakemake.params
    settings = table2.Settings(**params.statistics, seed=params.seed)
    test_labels = load(snakemake.input.dataset).test_labels
    held_out = np.flatnonzero(~selecting_half(test_labels, params.seed))
    rows = table2.table_rows(
        snakemake.input.accuracies,
        [tuple(row) for row in params.rows],
        len(test_labels),
        read_examples(snakemake.input.leak_free),
        held_out if params.held_out_half else held_out[:0],
        settings,
    )
    table2.write_csv(rows, snakemake.output.csv)
    text = table2_page.markdown(rows, f"Table 2: {params.name}", settings.margin)
    with store.atomic_write(snakemake.output.markdown) as temporary:
        temporary.write_text(text, encoding="utf-8")
    for row in rows:
        words = table2_page.verdict(row, settings.margin) or "no verdict"
        report(f"{row['recipe']}, {row['removal']}: {row['drop']:.2f} examples, {words}")
