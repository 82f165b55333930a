"""Write the review page: candidate duplicates and subpopulations, to be decided by a person."""

from memaudit.buckets.subpopulations import Member
from memaudit.data.dataset import load
from memaudit.review import as_groups, read_candidates, read_scores, write_page
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job
from memaudit.tables import read_rows

with job(snakemake.log[0]) as report:
    listed = read_candidates(snakemake.input.duplicates)
    least = snakemake.params.review
    candidates = [pair for pair in listed if pair.kind != "candidate" or pair.score >= least]
    groups = as_groups(read_rows(snakemake.input.groups, Member))
    selected = read_rows(snakemake.input.pairs, Pair)
    memorization = {pair.train: pair.memorization for pair in selected}
    influence = {}
    if scores := snakemake.input.get("scores"):
        every, influence = read_scores(scores, {(pair.train, pair.test) for pair in candidates})
        memorization = dict(enumerate(every.tolist()))
    influence |= {(pair.train, pair.test): pair.influence for pair in selected}
    write_page(
        snakemake.output.page,
        snakemake.params.study,
        load(snakemake.input.dataset),
        candidates,
        groups,
        near=snakemake.params.near,
        memorization=memorization,
        influence=influence,
        selected=[pair.train for pair in selected],
    )
    report.say(
        f"{len(candidates)} pairs and {len(groups)} groups to review: open {snakemake.output.page}"
    )
