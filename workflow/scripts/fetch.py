"""Fetch one remote file, from a mirror folder or its URL, and check it."""

from pathlib import Path

from memaudit.data.fetch import fetch
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    folder = Path(snakemake.output[0]).parent
    params = snakemake.params
    fetch(params.name, params.sources, folder, params.mirror, report.say)
