"""Put each selected example in a bucket, with the reason."""

from collections import Counter

from memaudit.buckets.assign import assign, write_buckets
from memaudit.buckets.decisions import Decisions, read_decisions
from memaudit.buckets.leaks import read_leaks
from memaudit.buckets.subpopulations import links_of, read_groups
from memaudit.data.dataset import load
from memaudit.scores.selection import read_pairs
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data, decided = load(snakemake.input.dataset), snakemake.input.get("decisions")
    assignments = assign(
        read_pairs(snakemake.input.pairs),
        read_leaks(snakemake.input.leaks),
        links_of(read_groups(snakemake.input.subpopulations), snakemake.params.by),
        data.class_names,
        read_decisions(decided, data.n_train, data.n_test) if decided else Decisions(),
    )
    write_buckets(assignments, snakemake.output[0])
    counts = Counter(row.reason for row in assignments)
    people = sum(row.decided_by == "manual annotation" for row in assignments)
    report.say(
        f"{len(assignments)} selected examples: {counts['exact']} with an exact and {counts['near']} "
        f"with a near duplicate in the test set, {counts['subpopulation']} in a subpopulation, "
        f"{counts['none']} memorized and neither; people decided on {people} of them"
    )
