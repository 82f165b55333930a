"""Write the learning curves of the models on all examples as a table and a figure."""

from memaudit import tables
from memaudit.data.dataset import load
from memaudit.figures.curves import learning_curves
from memaudit.models.shards import Origin, read_shards
from memaudit.results import curves
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
            f"recipe {recipe}: final accuracy {found[-1].fitted:.2f}% on the training images, "
            f"{found[-1].test_accuracy:.2f}% on the test images"
        )
        rows += found
    tables.write_rows(snakemake.output.csv, curves.CurveRow, rows)
    learning_curves(rows, snakemake.output.png)
