"""Draw the figures."""

from memaudit import store, tables
from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load
from memaudit.duplicates.files import read_ranked
from memaudit.figures.drawing import replaced_names
from memaudit.figures.drops import drops
from memaudit.figures.examples import influence
from memaudit.figures.scores import memorization_histogram, most_memorized
from memaudit.figures.similarity import similarity
from memaudit.results.table2 import Table2Row
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data, params = load(snakemake.input.dataset), snakemake.params
    if note := replaced_names(data):
        report.say(note)
    pairs = tables.read_rows(snakemake.input.pairs, Pair)
    with store.reading(snakemake.input.scores, store.SCORES) as file:
        memorization, se = file["memorization"][:], file["memorization_se"][:]
    buckets = tables.read_rows(snakemake.input.buckets, Assignment)
    influence(data, pairs, snakemake.output.influence)
    most_memorized(data, memorization, se, snakemake.output.most_memorized)
    memorization_histogram(data, memorization, buckets, snakemake.output.memorization)
    rows = tables.read_rows(snakemake.input.table, Table2Row)
    with store.reading(snakemake.input.accuracies, store.ACCURACIES) as file:
        arms = {(row.recipe, removal) for row in rows for removal in (row.removal, "none")}
        accuracies = {arm: file["/".join(arm)]["test_accuracy"][:] for arm in arms}
    drops(rows, snakemake.output.drops, accuracies)
    ranked = read_ranked(snakemake.input.ranked, data)
    alike = {pair: score for pair, (score, _) in ranked.items()}
    limits = params.near, params.review, params.influence
    similarity(pairs, buckets, alike, *limits, snakemake.output.similarity)
