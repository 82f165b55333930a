"""The study's drop over the values of a sweep: a table and a figure."""

from memaudit import tables
from memaudit.data.dataset import load
from memaudit.figures import sweeps
from memaudit.results import sweep_tables, table2
from memaudit.study.jobs import job

DRAWN = {"weight_decay": sweeps.weight_decay, "threshold": sweeps.threshold_curve}

with job(snakemake.log[0]) as report:
    params = snakemake.params
    over = params.over
    rows = sweep_tables.sweep_rows(
        snakemake.input.accuracies,
        over,
        [tuple(row) for row in params.rows],
        load(snakemake.input.dataset).n_test,
        table2.Settings(**params.statistics, seed=params.seed),
    )
    table2.write_csv(rows, snakemake.output.csv, (over, *sweep_tables.COLUMNS))
    DRAWN[over](tables.read_texts(snakemake.output.csv), snakemake.output.png)
    for row in rows:
        arm = f"{over} {row[over]}, {row['recipe']}, {row['removal']}"
        report.note(f"{arm}: {row['drop']:.2f} examples")
    report.say(f"{snakemake.output.csv}: {len(rows)} rows; figure in {snakemake.output.png}")
