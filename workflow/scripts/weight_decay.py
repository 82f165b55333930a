"""The study's drop over values of weight decay."""

from memaudit import tables
from memaudit.data.dataset import load
from memaudit.figures.sweeps import weight_decay
from memaudit.results import sweep_tables, table2
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    params = snakemake.params
    rows = sweep_tables.sweep_rows(
        snakemake.input.accuracies,
        "weight_decay",
        [tuple(row) for row in params.rows],
        load(snakemake.input.dataset).n_test,
        table2.Settings(**params.statistics, seed=params.seed),
    )
    table2.write_csv(rows, snakemake.output.csv, ("weight_decay", *sweep_tables.COLUMNS))
    weight_decay(tables.read_texts(snakemake.output.csv), snakemake.output.png)
    for row in rows:
        arm = f"weight_decay {row['weight_decay']}, {row['recipe']}, {row['removal']}"
        report.note(f"{arm}: {row['drop']:.2f} points")
    report.say(f"{snakemake.output.csv}: {len(rows)} rows; figure in {snakemake.output.png}")
