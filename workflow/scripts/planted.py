"""Compare what was found in the generated dataset with what was planted."""

from memaudit import store, tables
from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load
from memaudit.duplicates import read_duplicates
from memaudit.results import planted
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    with store.reading(snakemake.input.scores, store.SCORES) as file:
        memorization = file["memorization"][:]
    results = planted.checks(
        load(snakemake.input.dataset),
        memorization,
        tables.read_rows(snakemake.input.pairs, Pair),
        read_duplicates(snakemake.input.duplicates),
        tables.read_rows(snakemake.input.buckets, Assignment),
    )
    tables.write_rows(snakemake.output[0], planted.Check, results)
    for check in results:
        report.say(f"planted: {check.check} {check.value:.3f} (target {check.target})")
