"""Compare the duplicates found with those that ciFAIR lists."""

from memaudit.duplicates import read_duplicates
from memaudit.published.cifair import JUDGMENTS, Agreement, agreement, read_cifair
from memaudit.study.jobs import job
from memaudit.tables import write_rows

with job(snakemake.log[0]) as report:
    counted = [code for code, word in JUDGMENTS.items() if word in snakemake.params.judgments]
    rows = agreement(
        read_duplicates(snakemake.input.duplicates), read_cifair(snakemake.input.cifair), counted
    )
    write_rows(snakemake.output[0], Agreement, rows)
    for row in rows:
        report.say(
            f"duplicates, {row.unit}: {row.both} found and listed by ciFAIR, "
            f"{row.only_cifair} only listed, {row.only_finder} only found"
        )
