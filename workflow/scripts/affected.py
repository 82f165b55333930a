"""Find which test examples each removal of the paper's table affects, and how the drop adds up."""

from memaudit import tables
from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load
from memaudit.figures.affected import affected as draw
from memaudit.models.removals import CONTROL
from memaudit.results import affected
from memaudit.results.accuracies import read_arms
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data, output = load(snakemake.input.dataset), snakemake.output
    rows = [tuple(row) for row in snakemake.params.rows]
    controls = [(recipe, CONTROL + removal) for recipe, removal in rows]
    arms, _ = read_arms(snakemake.input.accuracies, rows + controls, data.n_test)
    pairs, buckets = (
        tables.read_rows(snakemake.input.pairs, Pair),
        tables.read_rows(snakemake.input.buckets, Assignment),
    )
    classes = [data.class_names[label] for label in data.test_labels]
    views = [affected.view(arms, row, pairs, buckets, classes) for row in rows]
    examples = [example for _, _, found in views for example in found]
    tables.write_rows(output.examples, affected.Example, examples)
    groups = [group for _, found, _ in views for group in found]
    tables.write_rows(output.groups, affected.Group, groups)
    tables.write_rows(output.summary, affected.Summary, [summary for summary, _, _ in views])
    draw(
        [(summary, found) for summary, _, found in views], output.figure, snakemake.params.published
    )
    for s, _, _ in views:
        report.say(
            f"{s.recipe}, {s.removal}: drop {s.drop:.2f} pp, of which {s.drop_influenced:.2f} on "
            f"{s.influenced} influenced test examples and {s.drop_rest:.2f} on "
            f"{s.test_examples - s.influenced} others; {s.predicted:.2f} predicted"
        )
