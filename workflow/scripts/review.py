"""Write the review page for the manual annotation of duplicates and subpopulations."""

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
    memorization, influence = read_scores(
        snakemake.input.scores, {(pair.train, pair.test) for pair in candidates}
    )
    influence |= {(pair.train, pair.test): pair.influence for pair in selected}
    write_page(
        snakemake.output.page,
        snakemake.params.study,
        load(snakemake.input.dataset),
        candidates,
        groups,
        near=snakemake.params.near,
        memorization=dict(enumerate(memorization.tolist())),
        influence=influence,
        selected=[pair.train for pair in selected],
    )
    report.say(
        f"{len(candidates)} pairs and {len(groups)} groups to review: open {snakemake.output.page}"
    )
