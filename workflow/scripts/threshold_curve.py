"""Test accuracy without all points above a threshold of memorization."""

from memaudit import tables
from memaudit.data.dataset import load
from memaudit.figures.sweeps import threshold_curve
from memaudit.results import sweep_tables, table2
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    params = snakemake.params
    rows = sweep_tables.sweep_rows(
        snakemake.input.accuracies,
        "threshold",
        [tuple(row) for row in params.rows],
        load(snakemake.input.dataset).n_test,
        table2.Settings(**params.statistics, seed=params.seed),
    )
    table2.write_csv(rows, snakemake.output.csv, ("threshold", *sweep_tables.COLUMNS))
    threshold_curve(tables.read_texts(snakemake.output.csv), snakemake.output.png)
    for row in rows:
        arm = f"threshold {row['threshold']}, {row['recipe']}, {row['removal']}"
        report.note(f"{arm}: {row['drop']:.2f} points")
    report.say(f"{snakemake.output.csv}: {len(rows)} rows; figure in {snakemake.output.png}")
