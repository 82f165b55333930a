"""Write the drops over the values of a sweep as a table and a figure."""

from memaudit import tables
from memaudit.data.dataset import load
from memaudit.figures import sweeps
from memaudit.results import sweep_tables, table2
from memaudit.study.jobs import job

KINDS = {
    "weight_decay": (sweep_tables.WeightDecayRow, sweeps.weight_decay),
    "threshold": (sweep_tables.ThresholdRow, sweeps.threshold_curve),
}

with job(snakemake.log[0]) as report:
    params, output = snakemake.params, snakemake.output
    kind, draw = KINDS[params.over]
    rows = sweep_tables.sweep_rows(
        snakemake.input.accuracies,
        kind,
        [tuple(row) for row in params.rows],
        load(snakemake.input.dataset).n_test,
        table2.Settings(**params.statistics, seed=params.seed),
    )
    tables.write_rows(output.csv, kind, rows)
    draw(rows, output.png)
    for row in rows:
        value = getattr(row, params.over)
        report.note(f"{params.over} {value}, {row.recipe}, {row.removal}: drop {row.drop:.2f} pp")
    report.say(f"{output.csv}: {len(rows)} rows; figure in {output.png}")
