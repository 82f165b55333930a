"""Select the memorized examples that influence a test example of their class."""

from memaudit import store
from memaudit.scores.selection import Pair, select_pairs, selecting_half
from memaudit.study.jobs import job
from memaudit.tables import write_rows

with job(snakemake.log[0]) as report:
    thresholds = dict(snakemake.params.thresholds)
    held_out_half = thresholds.pop("held_out_half")
    pairs = select_pairs(snakemake.input[0], **thresholds)
    if held_out_half:
        with store.reading(snakemake.input[0], store.SCORES) as file:
            half = selecting_half(file["test_labels"][:], snakemake.params.seed)
        pairs = [pair for pair in pairs if half[pair.test]]
    write_rows(snakemake.output[0], Pair, pairs)
    report.say(
        f"selected {len({pair.train for pair in pairs})} training examples in {len(pairs)} pairs with "
        f"{len({pair.test for pair in pairs})} test examples"
    )
