"""Run all benchmarks on this machine and write a table and a figure of speed-ups.

    python benchmarks/bench.py             run all parts and write benchmarks/results/
    python benchmarks/bench.py --draw      draw the figure from the existing table

Each part is a script that can also be run alone. A speed-up is the time of the alternative divided
by ours: the median over rounds that alternate between the two. `make bench` runs this.
"""

import argparse
import csv
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import shared

from memaudit.figures import drawing

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PARTS = {  # script: (arguments, packages that it needs)
    "training.py": ([], []),
    "loaders.py": ([], ["ffcv"]),
    "scoring.py": ([], []),
    "scale.py": (["200"], []),
}
PACKAGES = ("torch", "numpy", "snakemake", "h5py")


def measure(folder: Path) -> list[list[str]]:
    """Return the rows of all parts; a part whose packages are missing is skipped with a message."""
    rows = []
    for name, (arguments, packages) in PARTS.items():
        if absent := [p for p in packages if importlib.util.find_spec(p) is None]:
            print(f"{name} skipped: {', '.join(absent)} not installed", flush=True)
            continue
        out = folder / f"{name}.csv"
        subprocess.run([sys.executable, HERE / name, *arguments, "--csv", out], check=True)
        with open(out, newline="", encoding="utf-8") as file:
            rows += list(csv.reader(file))[1:]
    return rows


def table(rows: list[list[str]], about: dict[str, str]) -> str:
    """Return the table as Markdown, preceded by the machine and versions."""
    lines = [
        f"Measured {about['date']} on {about['machine']}; {about['versions']}. Load average before "
        f"and after: {about['before']} and {about['after']}. Median, minimum and maximum over "
        "alternating rounds; a speed-up above 1 means that the first of the two is faster.",
        "",
        "| | measured | compared with | speed-up | range | rounds |",
        "|---|---|---|---:|---:|---:|",
    ]
    for area, what, against, ratio, low, high, runs in rows:
        ratio, low, high = (f"{float(value):.2f}" for value in (ratio, low, high))
        lines.append(f"| {area} | {what} | {against} | {ratio} | {low} to {high} | {runs} |")
    return "\n".join(lines) + "\n"


def draw(rows: list[list[str]], about: dict[str, str], path: Path) -> None:
    """Draw the speed-ups as bars on a logarithmic axis; bars to the left of 1 are slower."""
    areas = list(dict.fromkeys(row[0] for row in rows))
    order = (drawing.BLUE, drawing.ORANGE, drawing.GREEN, drawing.GREY)
    colours = dict(zip(areas, order, strict=False))
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(rows) + 1.6), layout="constrained")
    for place, (area, _, _, *numbers, _) in enumerate(rows):
        ratio, low, high = map(float, numbers)
        axis.barh(place, ratio - 1, left=1, height=0.62, color=colours[area], alpha=0.85)
        axis.plot([low, high], [place, place], color="black", linewidth=1.2)
        axis.annotate(
            f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}",
            (max(ratio, high, 1), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xscale("log")
    low, high = min(float(row[4]) for row in rows), max(float(row[5]) for row in rows)
    axis.set_xlim(min(low, 1) / 1.3, max(high, 1) * 1.5)
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if low / 1.3 <= tick]
    axis.set_xticks([tick for tick in ticks if tick <= high * 1.5])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.minorticks_off()
    labels = [f"{what.replace('`', '')}\nvs. {against}" for _, what, against, *_ in rows]
    axis.set_yticks(range(len(rows)), labels, fontsize=7.5)
    axis.invert_yaxis()
    axis.set_xlabel("speed-up (line: range over rounds)")
    axis.set_title(f"{about['machine']}, {about['date']}", fontsize=9)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colours[area]) for area in areas]
    axis.legend(handles, areas, fontsize=8, loc="lower right")
    drawing.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draw", action="store_true", help="draw the existing table")
    given = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    if not given.draw:
        before = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(Path(folder))
        about = {
            "date": time.strftime("%Y-%m-%d"),
            "machine": shared.processor(),
            "versions": shared.versions(*PACKAGES),
            "before": f"{before:.1f}",
            "after": f"{os.getloadavg()[0]:.1f}",
        }
        shared.write_rows(rows, RESULTS / "bench.csv")
        (RESULTS / "bench.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    with open(RESULTS / "bench.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    about = json.loads((RESULTS / "bench.json").read_text(encoding="utf-8"))
    (RESULTS / "bench.md").write_text(table(rows, about), encoding="utf-8")
    draw(rows, about, RESULTS / "bench")


if __name__ == "__main__":
    main()
