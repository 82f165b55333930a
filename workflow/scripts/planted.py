"""Check what was found in the generated dataset against what was planted."""

from memaudit import store
from memaudit.buckets.assign import read_buckets
from memaudit.data.dataset import load
from memaudit.duplicates import read_duplicates
from memaudit.results import planted
from memaudit.scores.selection import read_pairs
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    with store.reading(snakemake.input.scores, store.SCORES) as file:
        memorization = file["memorization"][:]
    results = planted.checks(
        load(snakemake.input.dataset),
        memorization,
        read_pairs(snakemake.input.pairs),
        read_duplicates(snakemake.input.duplicates),
        read_buckets(snakemake.input.buckets),
    )
    planted.write_checks(results, snakemake.output[0])
    for check in results:
        report.say(f"planted: {check.name} {check.value:.3f}, to reach {check.target}")
