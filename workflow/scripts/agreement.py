"""How far the duplicates found and those that ciFAIR's people judged agree."""

from memaudit.duplicates import read_duplicates
from memaudit.published.cifair import JUDGMENTS, agreement, read_cifair, write_agreement
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    counted = [code for code, word in JUDGMENTS.items() if word in snakemake.params.judgments]
    rows = agreement(
        read_duplicates(snakemake.input.duplicates), read_cifair(snakemake.input.cifair), counted
    )
    write_agreement(rows, snakemake.output[0])
    for row in rows:
        report.say(
            f"duplicates, {row.unit}: {row.both} found and listed by ciFAIR, "
            f"{row.only_cifair} only listed, {row.only_detector} only found"
        )
