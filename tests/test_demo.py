"""The demo's checks of what was planted in its images reach their targets."""

import csv
import shutil
import subprocess
import sys

from conftest import ROOT


def test_what_was_planted_is_found(tmp_path):
    """Run the shipped demo up to its checks, without the arms of Table 2."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(tmp_path), "results/demo/planted.csv"]
    command += ["--configfile", str(ROOT / "config/demo.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
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
