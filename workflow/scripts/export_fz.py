"""Export scores with the keys of Feldman & Zhang's published npz."""

from memaudit.jobs import job
from memaudit.scores import export_fz

with job(snakemake.log[0]):
    export_fz(snakemake.input[0], snakemake.output[0])
