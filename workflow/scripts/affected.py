"""Say which test examples pay for each removal of the paper's table, and how the drop adds up."""

from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load
from memaudit.figures.affected import affected as draw
from memaudit.models.removals import CONTROL
from memaudit.results import affected
from memaudit.results.accuracies import read_arms
from memaudit.scores.selection import Pair
from memaudit.study.jobs import job
from memaudit.tables import read_rows

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    rows = [tuple(row) for row in snakemake.params.rows]
    controls = [(recipe, CONTROL + removal) for recipe, removal in rows]
    arms, _ = read_arms(snakemake.input.accuracies, rows + controls, data.n_test)
    pairs, buckets = (
        read_rows(snakemake.input.pairs, Pair),
        read_rows(snakemake.input.buckets, Assignment),
    )
    classes = [data.class_names[label] for label in data.test_labels]
    views = [affected.view(arms, *row, pairs, buckets, classes) for row in rows]
    summaries = [summary for summary, _, _ in views]
    groups = [group for _, found, _ in views for group in found]
    examples = [example for _, _, found in views for example in found]
    affected.write(examples, affected.Example, snakemake.output.examples)
    affected.write(groups, affected.Group, snakemake.output.groups)
    affected.write(summaries, affected.Summary, snakemake.output.summary)
    draw([(summary, found) for summary, _, found in views], snakemake.output.figure)
    for s in summaries:
        report.say(
            f"{s.recipe}, {s.removal}: {s.influenced} test examples that the removed examples "
            f"influence carry {s.drop_influenced:.2f} of the drop of {s.drop:.2f}, the other "
            f"{s.test_examples - s.influenced} carry {s.drop_rest:.2f}; the influences add up to "
            f"{s.predicted:.2f}"
        )
