"""Put each selected point in a bucket, with the reason."""

from collections import Counter

from memaudit.buckets import assign, write_buckets
from memaudit.data.dataset import load
from memaudit.duplicates import read_duplicates
from memaudit.jobs import job
from memaudit.published.cifair import read_cifair, with_judgments
from memaudit.selection import read_pairs

with job(snakemake.log[0]) as report:
    judged = snakemake.input.get("cifair")
    duplicates = with_judgments(
        read_duplicates(snakemake.input.duplicates),
        read_cifair(judged) if judged else [],
        snakemake.params.judgments,
    )
    assignments = assign(
        read_pairs(snakemake.input.pairs),
        duplicates,
        load(snakemake.input.dataset).class_names,
    )
    write_buckets(assignments, snakemake.output[0])
    counts = Counter(row.reason for row in assignments)
    report.say(
        f"{len(assignments)} selected points: {counts['exact']} with an exact and {counts['near']} "
        f"with a near duplicate in the test set, {counts['sub-population']} in a sub-population, "
        f"{counts['none']} memorized and neither"
    )
