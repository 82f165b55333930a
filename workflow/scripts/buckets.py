"""Assign each selected example to a bucket, with the reason."""

from collections import Counter

from memaudit.buckets.assign import Assignment, assign
from memaudit.buckets.decisions import MANUAL, Decisions, read_decisions
from memaudit.buckets.leaks import Leak
from memaudit.buckets.subpopulations import Member, links_of
from memaudit.data.dataset import load
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job
from memaudit.tables import read_rows, write_rows

with job(snakemake.log[0]) as report:
    data, decided = load(snakemake.input.dataset), snakemake.input.get("decisions")
    assignments = assign(
        read_rows(snakemake.input.pairs, Pair),
        read_rows(snakemake.input.leaks, Leak),
        links_of(read_rows(snakemake.input.subpopulations, Member), snakemake.params.by),
        data.class_names,
        read_decisions(decided, data.n_train, data.n_test, data.digest())
        if decided
        else Decisions(),
    )
    write_rows(snakemake.output[0], Assignment, assignments)
    counts = Counter(row.reason for row in assignments)
    manual = sum(row.decided_by == MANUAL for row in assignments)
    report.say(
        f"{len(assignments)} selected examples: {counts['exact']} with an exact duplicate, "
        f"{counts['near']} with a near-duplicate and {counts['scene']} with another photograph of "
        f"the scene in the test set, {counts['subpopulation']} in a "
        f"subpopulation, {counts['none']} with neither; {manual} decided by manual annotation"
    )
