"""What a run says on the terminal when it ends: the table it made, or what went wrong."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")  # what every line of a job's log begins with
DEMO_MODELS = 400  # the targets of what is planted are set for so many subset models


def closing_words(
    results: Path, planted: bool, models: int, others: Mapping[str, str], since: float
) -> str:
    """Table 2 and, of generated images, how much of what was planted was found.

    `others` are rules that the run did not look at, and a file of each, in `results`. Where the
    run, which began at `since` (a time), made the table anew, those older than it are named.
    """
    table, found = results / "table2.md", results / "planted.csv"
    main, _, _ = table.read_text(encoding="utf-8").partition("\n## ")
    lines = ["", *(line for line in main.splitlines() if line.startswith("|"))]
    if planted and found.exists():
        rows = [line.split(",")[:4] for line in found.read_text(encoding="utf-8").splitlines()]
        lines += ["", *(f"{row[0]:<26}{row[1]:>8}{row[2]:>8}{row[3]:>9}" for row in rows)]
        if models < DEMO_MODELS:
            lines.append(f"(The targets are for {DEMO_MODELS} subset models; here are {models}.)")
    made = table.stat().st_mtime
    files = {rule: results / file for rule, file in others.items()}
    old = [rule for rule, file in files.items() if file.exists() and file.stat().st_mtime < made]
    if old and made >= since:
        lines += ["", f"Made before this table, perhaps by other settings: {', '.join(old)}."]
        lines += [f"`snakemake {' '.join(old)}` makes anew what is out of date."]
    lines += ["", f"Look in {results}/: table2.md, buckets.csv, figures/, review/index.html"]
    return "\n".join(lines)


def failure(log: Path, since: float) -> str | None:
    """Why a job ended that did not finish, from its log; None if it did not run after `since`.

    Only what its last line says counts: the log may open with that of earlier attempts.
    """
    if not log.exists() or log.stat().st_mtime < since:
        return None
    text = log.read_text(encoding="utf-8", errors="replace").rstrip()
    starts = [found.end() for found in STAMP.finditer(text)]
    last = text[starts[-1] :] if starts else ""
    if last.startswith("error: "):
        return last.removeprefix("error: ")
    if last.startswith(("stopped by SIGTERM", "interrupted")):
        return last
    if last.startswith("done in"):
        return None  # it finished, and whoever sent it had not asked yet
    if not last:
        return "did not begin: it could not be submitted (Snakemake says why above), or was killed"
    return f'ended without a word, after "{last.splitlines()[0]}": killed, or out of memory or time'


def what_failed(logs: Iterable[Path], since: float) -> str:
    """The failures of the jobs that ran after `since` (a time) and did not finish."""
    lines, is_stopped = [], True
    for log in logs:
        if why := failure(log, since):
            lines += ["", why, f"    ({log})"]
            is_stopped &= why.startswith(("stopped by SIGTERM", "interrupted"))
    if lines:
        then = "The same" if is_stopped else "Once this is mended, the same"
        lines += ["", f"What was trained is kept. {then} command goes on."]
    return "\n".join(lines)
