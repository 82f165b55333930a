"""Learning curves of the models on all examples, as a table and as a figure."""

from memaudit import tables
from memaudit.data.dataset import load
from memaudit.figures.curves import learning_curves
from memaudit.models.shards import Origin, read_shards
from memaudit.results import curves, table2
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    gathered = snakemake.params.gathered
    digest = load(snakemake.input.dataset).digest()
    rows = []
    for recipe, removal, models in gathered["arms"]:
        origin = Origin(removal, gathered["recipes"][recipe], gathered["seed"], digest)
        shards = gathered["shards"][f"{recipe}/{removal}"]
        found = curves.curve_rows(recipe, read_shards(shards, range(models), curves.FIELDS, origin))
        report.say(
            f"recipe {recipe}: at the end {found[-1]['fitted']:.2f} % of the training examples are "
            f"right, {found[-1]['test_accuracy']:.2f} % of the test examples"
        )
        rows += found
    table2.write_csv(rows, snakemake.output.csv, curves.COLUMNS)
    learning_curves(tables.read_texts(snakemake.output.csv), snakemake.output.png)
