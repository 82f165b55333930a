"""Merge all duplicates of training examples in the test set; list the test examples without one."""

from memaudit.buckets.assign import KINDS
from memaudit.buckets.decisions import Decisions, read_decisions
from memaudit.buckets.leaks import (
    Leak,
    counted,
    leak_free,
    selected_probabilities,
    with_decisions,
    with_scenes,
)
from memaudit.data.dataset import load
from memaudit.duplicates.files import read_duplicates, read_probabilities, read_ranked
from memaudit.models.removals import write_examples
from memaudit.published.annotation import read_annotation, with_annotation
from memaudit.published.cifair import read_cifair, with_cifair
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job
from memaudit.tables import read_rows, write_rows

with job(snakemake.log[0]) as report:
    files, data = snakemake.input, load(snakemake.input.dataset)
    duplicates = read_duplicates(files.duplicates, KINDS)
    probability = read_probabilities(files.duplicates)
    if files.ranked:
        selected = [(pair.train, pair.test) for pair in read_rows(files.pairs, Pair)]
        raised = selected_probabilities(selected, read_ranked(files.ranked, data))
        duplicates = with_scenes(duplicates, raised, snakemake.params.scene)
        probability |= raised
    leaks = with_cifair(
        duplicates,
        read_cifair(files.cifair) if files.cifair else [],
        snakemake.params.judgments,
    )
    if files.annotation:
        leaks = with_annotation(leaks, read_annotation(files.annotation), data)
    leaks = counted(leaks, snakemake.params.kinds, probability)
    decisions = Decisions()
    if files.decisions:
        decisions = read_decisions(files.decisions, data.n_train, data.n_test, data.digest())
    leaks = with_decisions(leaks, decisions, data)
    clean = leak_free(leaks, data.n_test)
    write_rows(snakemake.output.leaks, Leak, leaks)
    comment = f"{len(clean)} of {data.n_test} test examples: no duplicate in the training set"
    write_examples(clean, snakemake.output.leak_free, comment)
    published = sum(leak.decided_by == "published annotation" for leak in leaks)
    report.say(
        f"{data.n_test - len(clean):,} of {data.n_test:,} test examples have a duplicate in the "
        f"training set; {published} of {len(leaks)} duplicate pairs by a published annotation, "
        f"{len(decisions.duplicates)} pairs annotated manually"
    )
