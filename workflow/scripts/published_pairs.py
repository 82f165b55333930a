"""Select F&Z's published pairs."""

from memaudit.data.dataset import load
from memaudit.published.feldman_zhang import read_fz_pairs
from memaudit.scores.selection import Pair, selecting_half
from memaudit.study.jobs import job
from memaudit.tables import write_rows

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    thresholds = snakemake.params.thresholds
    pairs = [
        pair
        for pair in read_fz_pairs(snakemake.input.pairs, data.train_labels, data.test_labels)
        if pair.memorization >= thresholds["memorization"]
        and pair.influence >= thresholds["influence"]
    ]
    if thresholds["held_out_half"]:
        half = selecting_half(data.test_labels, snakemake.params.seed)
        pairs = [pair for pair in pairs if half[pair.test]]
    write_rows(snakemake.output[0], Pair, pairs)
    report.say(
        f"{len(pairs)} published pairs of {len({pair.train for pair in pairs})} training examples "
        f"and {len({pair.test for pair in pairs})} test examples"
    )
