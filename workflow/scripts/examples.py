"""Draw figures 1 to 3 of the paper: exact duplicates, near duplicates, subpopulations."""

from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.data.dataset import load
from memaudit.figures.drawing import replaced_names
from memaudit.figures.examples import duplicate_pairs, subpopulations
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job
from memaudit.tables import read_rows

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    if note := replaced_names(data):
        report.say(note)
    pairs, buckets = (
        read_rows(snakemake.input.pairs, Pair),
        read_rows(snakemake.input.buckets, Assignment),
    )
    leaks = read_rows(snakemake.input.leaks, Leak)
    for reason in ("exact", "near"):
        duplicate_pairs(data, pairs, buckets, reason, snakemake.output[reason], leaks=leaks)
    subpopulations(data, pairs, buckets, snakemake.output.groups)
