"""Compare the paper's numbers with what the published files give."""

from memaudit.duplicates import read_duplicates
from memaudit.published.annotation import read_annotation
from memaudit.published.cifair import read_cifair
from memaudit.published.counts import Count, published_counts, read_pairs
from memaudit.study.jobs import job
from memaudit.tables import write_rows

with job(snakemake.log[0]):
    found = snakemake.input.get("duplicates")
    counts = published_counts(
        read_pairs(snakemake.input.pairs),
        read_cifair(snakemake.input.cifair),
        read_annotation(snakemake.input.annotation),
        read_duplicates(found) if found else None,
    )
    write_rows(snakemake.output[0], Count, counts)
