"""Check what was found in the generated dataset against what was planted."""

from memaudit import store
from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load
from memaudit.duplicates import read_duplicates
from memaudit.results import planted
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job
from memaudit.tables import read_rows

with job(snakemake.log[0]) as report:
    with store.reading(snakemake.input.scores, store.SCORES) as file:
        memorization = file["memorization"][:]
    results = planted.checks(
        load(snakemake.input.dataset),
        memorization,
        read_rows(snakemake.input.pairs, Pair),
        read_duplicates(snakemake.input.duplicates),
        read_rows(snakemake.input.buckets, Assignment),
    )
    planted.write_checks(results, snakemake.output[0])
    for check in results:
        report.say(f"planted: {check.name} {check.value:.3f}, to reach {check.target}")
