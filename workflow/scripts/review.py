"""Write the review page for the manual annotation of duplicates and subpopulations."""

from memaudit.buckets.subpopulations import Member, links_of
from memaudit.data.dataset import load
from memaudit.duplicates.files import read_ranked
from memaudit.published.annotation import judged_pairs
from memaudit.review import (
    as_groups,
    by_gain,
    read_candidates,
    read_scores,
    with_selected,
    write_page,
)
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job
from memaudit.tables import read_rows

with job(snakemake.log[0]) as report:
    files, data = snakemake.input, load(snakemake.input.dataset)
    members = read_rows(files.groups, Member)
    selected = read_rows(files.pairs, Pair)
    chosen = {(pair.train, pair.test): pair.influence for pair in selected}
    ranked = read_ranked(files.ranked, data)
    candidates = with_selected(
        read_candidates(files.duplicates), chosen, ranked, snakemake.params.scene
    )
    memorization, influence = read_scores(
        files.scores, {(pair.train, pair.test) for pair in candidates}
    )
    influence |= chosen
    examples = {train for train, _ in chosen}
    settled = judged_pairs(files.annotation, data) if files.annotation else {}
    groups = as_groups(members)
    candidates = by_gain(
        candidates,
        influence,
        examples,
        grouped=set(links_of(members, snakemake.params.by).ravel().tolist()),
        settled=settled,
    )
    write_page(
        snakemake.output.page,
        snakemake.params.study,
        data,
        candidates,
        groups,
        settled=settled,
        memorization=dict(enumerate(memorization.tolist())),
        influence=influence,
        selected=sorted(examples),
        calibrated=snakemake.params.calibrated,
    )
    report.say(
        f"{len(candidates)} pairs and {len(groups)} groups to review: open {snakemake.output.page}"
    )
