"""Convert the study's Markdown to pages of the report."""

from pathlib import Path

from memaudit import store
from memaudit.results import pages
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    for name, path in snakemake.output.items():
        text = Path(snakemake.input[name]).read_text(encoding="utf-8")
        first = text.splitlines()[0]
        title = first.removeprefix("# ") if first.startswith("# ") else "The answer"
        store.write_text(path, pages.page(text, title))
