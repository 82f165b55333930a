"""Shared by the benchmarks: description of the machine, speed-ups as CSV, results in the README."""

import csv
import os
import platform
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

README = Path(__file__).with_name("README.md")
COLUMNS = ("area", "what", "against", "ratio", "low", "high", "runs")


def processor() -> str:
    """Return the processor's name and the number of cores that this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return f"{names[0] if names else platform.machine()}, cores: {len(allowed)}"


def versions(*packages: str) -> str:
    """Return the versions of Python and of installed packages."""
    named = [f"{name} {metadata.version(name)}" for name in packages]
    return ", ".join([f"Python {platform.python_version()}", *named])


def spread(values: Sequence[float], form: str) -> str:
    """Return median and range of values, formatted by `form`."""
    low, high = (form.format(value) for value in (min(values), max(values)))
    return f"{form.format(statistics.median(values))} ({low} to {high})"


def row(area: str, what: str, against: str, ratios: Sequence[float]) -> list:
    """Return a row of the table: the speed-up of `what` over `against`, one ratio per round."""
    middle = [statistics.median(ratios), min(ratios), max(ratios)]
    return [area, what, against, *(f"{value:.3f}" for value in middle), len(ratios)]


def write_rows(rows: list[list], path: Path) -> None:
    """Write rows as CSV with the header `COLUMNS`."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


def write_measured(begin: str, end: str, text: str) -> None:
    """Replace the text between two markers in benchmarks/README.md."""
    before, _, rest = README.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    README.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
