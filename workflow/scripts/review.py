"""Write the review page for the manual annotation of duplicates and subpopulations."""

from memaudit.buckets.assign import KINDS
from memaudit.buckets.leaks import counted
from memaudit.buckets.subpopulations import Member, links_of
from memaudit.data.dataset import load
from memaudit.duplicates.files import read_ranked
from memaudit.published.annotation import judged_pairs, read_annotation, with_annotation
from memaudit.published.cifair import judged_by_cifair, read_cifair, with_cifair
from memaudit.review.items import (
    as_groups,
    by_gain,
    read_candidates,
    read_scores,
    with_selected,
)
from memaudit.review.page import write_page
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
    params = snakemake.params
    settled = judged_by_cifair(files.cifair, params.judgments) if files.cifair else {}
    settled |= judged_pairs(files.annotation, data) if files.annotation else {}
    for pair in candidates:
        if pair.kind == "exact" and not settled.get((pair.train, pair.test), True):
            del settled[pair.train, pair.test]  # identical pixels are a fact
    found = [(pair.train, pair.test, pair.kind) for pair in candidates if pair.kind in KINDS]
    leaks = with_cifair(found, read_cifair(files.cifair) if files.cifair else [], params.judgments)
    if files.annotation:
        leaks = with_annotation(leaks, read_annotation(files.annotation), data)
    counting = {(leak.train, leak.test) for leak in counted(leaks, params.kinds, {})}
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
        counting=counting,
        rule=params.rule,
        calibrated=snakemake.params.calibrated,
    )
    report.say(
        f"{len(candidates)} pairs and {len(groups)} groups to review: open {snakemake.output.page}"
    )
