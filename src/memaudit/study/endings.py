"""What a run prints when it ends: the answer and the table, or what failed."""

import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from memaudit.results.planted import Check
from memaudit.results.summary import first_table
from memaudit.study.jobs import UNEXPECTED
from memaudit.tables import read_rows
from memaudit.templates import render

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")  # begins every line of a job's log
DEMO_MODELS = 140  # number of subset models that the targets of planted.csv are for
INTERRUPTED = ("stopped by SIGTERM", "interrupted")  # how a failure that may be continued begins
WIDTH = 100


def closing_words(
    results: Path, planted: bool, models: int, others: Mapping[str, str], since: float
) -> str:
    """Return Table 2, for generated images the checks of what was planted, and the answer.

    `others` are rules that the run did not look at, each with a file of it in `results`. If the
    run, which began at `since` (a time), rebuilt the table, those older than it are named.
    """
    table, found = results / "table2.md", results / "planted.csv"
    made = table.stat().st_mtime
    files = {rule: results / file for rule, file in others.items()}
    older = [rule for rule, file in files.items() if file.exists() and file.stat().st_mtime < made]
    answer = (results / "answer.md").read_text(encoding="utf-8")
    return render(
        "closing.txt",
        results=results,
        answer="\n".join(
            textwrap.fill(part, WIDTH, break_on_hyphens=False) for part in answer.splitlines()
        ),
        table=first_table(table.read_text(encoding="utf-8")),
        checks=read_rows(found, Check) if planted and found.exists() else [],
        models=models,
        target_models=DEMO_MODELS,
        older=older if made >= since else [],
    ).rstrip()


def failure(log: Path, since: float, submitted: bool = False) -> str | None:
    """Return why a job failed, from its log; None if it did not run after `since` or finished.

    Only the last line counts: the log may begin with that of earlier attempts. `submitted` states
    that jobs run on a cluster.
    """
    if not log.exists() or log.stat().st_mtime < since:
        return None
    text = log.read_text(encoding="utf-8", errors="replace").rstrip()
    starts = [found.end() for found in STAMP.finditer(text)]
    last = text[starts[-1] :] if starts else ""
    if last.startswith("error: "):
        return last.removeprefix("error: ")
    if last.startswith(INTERRUPTED):
        return last
    if last.startswith(UNEXPECTED):
        return (
            f"{last}. This is a bug of memaudit or a faulty installation; the log has the traceback"
        )
    if last.startswith("done in"):
        return None  # it finished before the signal reached it
    if not last and submitted:
        return "did not start: submission failed (see Snakemake's message above), or it was killed"
    if not last:
        return "ended before it logged anything: stopped by a signal or killed (out of memory?)"
    return (
        "terminated without an error message (killed, out of memory, or over its time limit); "
        f"last log line: {last.splitlines()[0]}"
    )


def what_failed(logs: Iterable[Path], since: float, submitted: bool = False) -> str:
    """Return the failures of the jobs that ran after `since` (a time) and did not finish."""
    found = [(why, log) for log in logs if (why := failure(log, since, submitted))]
    is_interrupted = all(why.startswith(INTERRUPTED) for why, _ in found)
    text = render("failed.txt", failures=found, is_interrupted=is_interrupted)
    return text.rstrip() if found else ""
