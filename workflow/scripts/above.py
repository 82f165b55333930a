"""Write the list of all examples whose memorization is at or above a threshold."""

from memaudit import store
from memaudit.models.removals import examples_above, write_examples
from memaudit.scores.estimate import read_memorization
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    threshold = snakemake.wildcards.threshold
    with store.reading(snakemake.input[0], store.SCORES) as file:
        examples = examples_above(read_memorization(file).value, float(threshold))
    write_examples(examples, snakemake.output[0])
    report.say(f"{len(examples)} examples have memorization of {threshold} or more")
