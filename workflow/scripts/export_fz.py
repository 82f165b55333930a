"""Export scores with the keys of Feldman & Zhang's published npz."""

from memaudit.scores.facade import Scores
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    Scores.from_file(snakemake.input[0]).export_fz(snakemake.output[0])
