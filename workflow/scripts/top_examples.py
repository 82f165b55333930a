"""Write the top examples of a score of another method, in the number of the selected ones."""

from memaudit.data.dataset import load
from memaudit.models.removals import read_examples, write_examples
from memaudit.scores.external import read_external, top_examples
from memaudit.scores.facade import study_scores
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    data = load(snakemake.input.dataset)
    found = read_external(snakemake.input.file, data.train_labels, data.test_labels)
    memorization = study_scores(snakemake.input.scores).memorization.value
    count = len(read_examples(snakemake.input.selected))
    write_examples(top_examples(found, memorization, count), snakemake.output[0])
    report.say(f"the {count} top examples of {snakemake.wildcards.name}")
