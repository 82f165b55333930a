"""Draw figures 1 to 3 of the paper: exact duplicates, near duplicates, subpopulations."""

from memaudit.buckets.assign import read_buckets
from memaudit.data.dataset import load
from memaudit.figures.examples import duplicate_pairs, subpopulations
from memaudit.scores.selection import read_pairs
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    data = load(snakemake.input.dataset)
    pairs, buckets = read_pairs(snakemake.input.pairs), read_buckets(snakemake.input.buckets)
    duplicate_pairs(data, pairs, buckets, "exact", snakemake.output.exact)
    duplicate_pairs(data, pairs, buckets, "near", snakemake.output.near)
    subpopulations(data, pairs, buckets, snakemake.output.groups)
