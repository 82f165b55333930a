"""What the paper says beside what the published files say."""

from memaudit.published.counts import published_counts, write_counts
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    counts = published_counts(snakemake.input.pairs, snakemake.input.cifair)
    write_counts(counts, snakemake.output[0])
    for count in counts:
        paper = "" if count.paper_says is None else f", the paper {count.paper_says:g}"
        report.say(f"{count.quantity}: {count.files_say:.4g}{paper}")
