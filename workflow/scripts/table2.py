"""Write Table 2, for machines and for readers."""

from memaudit import store, table2
from memaudit.jobs import job
from memaudit.removals import read_points

with job(snakemake.log[0]) as report:
    arms = [tuple(row) for row in snakemake.params.rows]
    leak_free = read_points(snakemake.input.leak_free)
    rows = table2.table_rows(snakemake.input.accuracies, arms, leak_free)
    table2.write_csv(rows, snakemake.output.csv)
    text = table2.markdown(rows, f"Table 2: {snakemake.params.name}")
    with store.whole(snakemake.output.markdown) as temporary:
        temporary.write_text(text, encoding="utf-8")
    for row in rows:
        report(f"{row['recipe']}, {row['removal']}: {row['drop']:.2f} points, se {row['se']:.2f}")
