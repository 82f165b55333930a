"""Write the list of the examples with memorization at or above a threshold."""

from memaudit.models.removals import examples_above, write_examples
from memaudit.scores.facade import study_scores
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    threshold = snakemake.wildcards.threshold
    scores = study_scores(snakemake.input[0])
    examples = examples_above(scores.memorization.value, float(threshold))
    write_examples(examples, snakemake.output[0])
    report.say(f"{len(examples)} examples have memorization of at least {threshold}")
