"""Select the memorized examples that influence a test example of their class."""

from memaudit.scores.facade import study_scores
from memaudit.scores.selection import Pair, selecting_half
from memaudit.study.jobs import job
from memaudit.tables import write_rows

with job(snakemake.log[0]) as report:
    thresholds = dict(snakemake.params.thresholds)
    held_out_half = thresholds.pop("held_out_half")
    scores = study_scores(snakemake.input[0])
    pairs = scores.select(**thresholds)
    if held_out_half:
        half = selecting_half(scores.test_labels, snakemake.params.seed)
        pairs = [pair for pair in pairs if half[pair.test]]
    write_rows(snakemake.output[0], Pair, pairs)
    report.say(
        f"selected {len({pair.train for pair in pairs})} training examples in {len(pairs)} "
        f"pairs with {len({pair.test for pair in pairs})} test examples"
    )
