"""The demo finds what was planted in its images, and gives the tables of docs/demo again."""

import csv
import os
import shutil
import subprocess
import sys

from conftest import ROOT

# as `make demo` sets them, so that other x86-64 processors give the same bits
PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}


def test_the_demo_is_the_documented_one(tmp_path):
    """Run the shipped demo up to Table 2 and the checks of what was planted."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(tmp_path), "results/demo/table2.csv", "results/demo/planted.csv"]
    command += ["--configfile", str(ROOT / "config/demo.yaml")]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False, env=os.environ | PINNED
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with open(tmp_path / "results/demo/planted.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["check"] for row in rows] == [
        "memorization_auc",
        "pair_precision",
        "copy_recall",
        "copy_precision",
        "subpopulation_precision",
        "subpopulation_recall",
    ]
    missed = [(row["check"], row["value"]) for row in rows if row["reached"] != "yes"]
    assert not missed
    for row in rows:
        assert float(row["value"]) >= float(row["target"])
    for name in ("planted.csv", "table2.csv"):
        found = (tmp_path / "results/demo" / name).read_text()
        assert found == (ROOT / "docs/demo" / name).read_text(), name


def test_make_demo_pins_the_kernels():
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"demo: export {name} := {value}\n" in makefile for name, value in PINNED.items())
