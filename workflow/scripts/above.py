"""Write the list of all points whose memorization is at or above a threshold."""

from memaudit import store
from memaudit.models.removals import points_above, write_points
from memaudit.scores.estimate import read_memorization
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    threshold = snakemake.wildcards.threshold
    with store.reading(snakemake.input[0], store.SCORES) as file:
        points = points_above(read_memorization(file).value, float(threshold))
    write_points(points, snakemake.output[0])
    report.say(f"{len(points)} points have memorization of {threshold} or more")
