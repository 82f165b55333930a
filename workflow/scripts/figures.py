"""Draw the figures."""

from memaudit import figures, store
from memaudit.buckets import read_buckets
from memaudit.data.dataset import load
from memaudit.jobs import job
from memaudit.table2 import read_csv

with job(snakemake.log[0]):
    data = load(snakemake.input.dataset)
    with store.reading(snakemake.input.scores, store.SCORES) as file:
        memorization, se = file["memorization"][:], file["memorization_se"][:]
    buckets = read_buckets(snakemake.input.buckets)
    figures.most_memorized(data, memorization, se, snakemake.output.most_memorized)
    figures.memorization_histogram(data, memorization, buckets, snakemake.output.memorization)
    figures.drops(read_csv(snakemake.input.table), snakemake.output.drops)
