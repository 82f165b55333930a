"""Pages of the report from the study's Markdown."""

from pathlib import Path

from memaudit import store
from memaudit.results import pages
from memaudit.study.jobs import job

with job(snakemake.log[0]):
    for name in ("table", "claims", "summary"):
        text = Path(snakemake.input[name]).read_text(encoding="utf-8")
        title = text.splitlines()[0].removeprefix("# ")
        with store.atomic_write(snakemake.output[name]) as temporary:
            temporary.write_text(pages.page(text, title), encoding="utf-8")
