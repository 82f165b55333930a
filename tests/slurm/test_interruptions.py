"""Snakemake and its jobs killed at random moments: the same table, nothing trained twice."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import yaml
from conftest import ROOT, Study

TRAINED = re.compile(r"recipe (\w+), removal (\w+): trial (\d+), \d+ of")


def start(study: Study) -> subprocess.Popen:
    (study.folder / "small.yaml").write_text(yaml.safe_dump(study.config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(study.folder), "--configfile", "small.yaml"]
    return subprocess.Popen(
        command,
        cwd=study.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def trained(study: Study) -> Counter:
    """How often each model was trained to its end, from all logs that there are, read once each."""
    found: Counter = Counter()
    for log in (study.results / "logs" / "train").rglob("*.log"):
        found.update(TRAINED.findall(log.read_text()))  # it opens with the log of earlier attempts
    return found


def kill_and_go_on(study: Study, kills: int, longest: float, rng: random.Random) -> list[float]:
    """Run the study, kill it and its jobs `kills` times, let it end; returns when it was hit."""
    moments = []
    while len(moments) < kills:
        process = start(study)
        moment = rng.uniform(0.2, 1) * longest
        try:
            process.communicate(timeout=moment)
            break  # it ended before
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        moments.append(moment)
        study.snakemake("--unlock")
    study.snakemake()
    return moments


def test_killed_again_and_again(finished, tmp_path):
    study = Study(tmp_path)
    rng = random.Random(time.time_ns())
    moments = kill_and_go_on(study, 10, 12.0, rng)
    assert len(moments) >= 3, f"it ended too soon: {moments}"
    table = "table2.csv"
    assert (study.results / table).read_text() == (finished.results / table).read_text(), moments
    counts = trained(study)
    expected = 60 + 3 * 10
    assert sum(counts.values()) <= expected and max(counts.values()) == 1, (moments, counts)
    assert not list((study.results / "models").rglob(".*.partial"))
    assert not list((study.results / "models").rglob("*.tmp"))
