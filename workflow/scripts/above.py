"""Write the list of all points whose memorization is at or above a threshold."""

from memaudit import store
from memaudit.jobs import job
from memaudit.removals import points_above, write_points
from memaudit.scores import read_memorization

with job(snakemake.log[0]) as report:
    threshold = snakemake.wildcards.threshold
    with store.reading(snakemake.input[0], store.SCORES) as file:
        points = points_above(read_memorization(file).value, float(threshold))
    write_points(points, snakemake.output[0])
    report.say(f"{len(points)} points have memorization of {threshold} or more")
