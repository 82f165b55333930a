"""Convert the study's Markdown to pages of the report."""

from pathlib import Path

from memaudit import store
from memaudit.results import pages
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    for name, path in snakemake.output.items():
        text = Path(snakemake.input[name]).read_text(encoding="utf-8")
        if not text.startswith("# "):
            text = f"# The answer\n\n{text}"
        title = text.splitlines()[0].removeprefix("# ")
        store.write_text(path, pages.page(text, title))
