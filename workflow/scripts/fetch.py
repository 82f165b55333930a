"""Fetch one remote file, from a mirror folder or its URL, and check it."""

from pathlib import Path

from memaudit.data.fetch import fetch
from memaudit.study.jobs import job

with job(snakemake.log[0]) as report:
    folder = Path(snakemake.output[0]).parent
    mirror = snakemake.config.get("mirror")
    fetch(snakemake.params.name, snakemake.params.sources, folder, mirror, report.say)
