"""Export scores with the keys of Feldman & Zhang's published npz."""

from memaudit.scores.facade import study_scores
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    study_scores(snakemake.input[0]).export_fz(snakemake.output[0])
