"""Put each selected point in a bucket, with the reason."""

from collections import Counter

from memaudit.buckets import assign, write_buckets
from memaudit.data.dataset import load
from memaudit.duplicates import read_duplicates
from memaudit.jobs import job
from memaudit.selection import read_pairs

with job(snakemake.log[0]) as report:
    assignments = assign(
        read_pairs(snakemake.input.pairs),
        read_duplicates(snakemake.input.duplicates),
        load(snakemake.input.dataset).class_names,
    )
    write_buckets(assignments, snakemake.output[0])
    counts = Counter(row.reason for row in assignments)
    report.say(
        f"{len(assignments)} selected points: {counts['exact']} with an exact and {counts['near']} "
        f"with a near duplicate in the test set, {counts['sub-population']} in a sub-population, "
        f"{counts['none']} memorized and neither"
    )
