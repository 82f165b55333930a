"""Write Table 2, for machines and for readers."""

from memaudit import store, table2
from memaudit.jobs import job

with job(snakemake.log[0]) as report:
    arms = [tuple(row) for row in snakemake.params.rows]
    rows = table2.table_rows(snakemake.input[0], arms)
    table2.write_csv(rows, snakemake.output.csv)
    text = table2.markdown(rows, f"Table 2: {snakemake.params.name}")
    with store.whole(snakemake.output.markdown) as temporary:
        temporary.write_text(text, encoding="utf-8")
    for row in rows:
        report(f"{row['recipe']}, {row['removal']}: {row['drop']:.2f} points, se {row['se']:.2f}")
