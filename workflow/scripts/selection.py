"""Select the memorized points that influence a test point of their class."""

from memaudit.jobs import job
from memaudit.selection import select_pairs, write_pairs

with job(snakemake.log[0]) as report:
    pairs = select_pairs(snakemake.input[0], **snakemake.params.thresholds)
    write_pairs(pairs, snakemake.output[0])
    report.say(
        f"selected {len({pair.train for pair in pairs})} train points in {len(pairs)} pairs with "
        f"{len({pair.test for pair in pairs})} test points"
    )
