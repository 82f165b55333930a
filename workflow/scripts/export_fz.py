"""Export scores with the keys of Feldman & Zhang's published npz."""

from memaudit.scores.estimate import export_fz
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    export_fz(snakemake.input[0], snakemake.output[0])
