"""Killing Snakemake and its jobs at random moments changes no result and trains nothing twice.

By default a small study is killed three times. MEMAUDIT_KILLS sets the number of kills, and
MEMAUDIT_DEMO=1 uses the study of `make demo`:

    export MEMAUDIT_KILLS=10 MEMAUDIT_DEMO=1
    .venv/bin/python -m pytest -o addopts=-rP tests/slurm/test_interruptions.py

-rP shows when the kills happened and how many models were trained.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Study

KILLS = int(os.environ.get("MEMAUDIT_KILLS", "3"))
DEMO = os.environ.get("MEMAUDIT_DEMO") == "1"
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


def lines_of(results: Path) -> set[str]:
    """Return the time-stamped lines of all training logs."""
    lines: set[str] = set()
    for log in [*results.glob("logs/train/**/*.log"), *results.glob("models/**/.*.partial/log")]:
        with suppress(FileNotFoundError):  # deleted meanwhile
            lines.update(log.read_text().splitlines())
    return lines


def trainings(lines: set[str]) -> Counter:
    """Return how often each model (recipe, removal, trial) finished training."""
    return Counter(found.groups() for line in lines if (found := TRAINED.search(line)))


def kill_and_resume(
    study: Study, kills: int, longest: float, rng: random.Random
) -> tuple[list[float], Counter]:
    """Run the study, kill it and its jobs `kills` times, then let it finish.

    Returns the seconds after which each run was killed, and how often each model finished training.
    The logs are read after every kill because Snakemake deletes the log of a job that it restarts.
    """
    moments: list[float] = []
    lines: set[str] = set()
    while len(moments) < kills:
        process = start(study)
        moment = rng.uniform(0.2, 1) * longest
        try:
            process.communicate(timeout=moment)
            break  # finished before the kill
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        moments.append(moment)
        lines |= lines_of(study.results)
        study.snakemake("--unlock")
    study.snakemake()
    lines |= lines_of(study.results)
    return moments, trainings(lines)


@pytest.fixture
def uninterrupted(request, tmp_path_factory) -> tuple[Study, float]:
    """Return a study that ran without interruption and the longest time between kills, in seconds.

    For the demo study, the kills are spread over its measured run time.
    """
    if not DEMO:
        return request.getfixturevalue("finished"), 20.0
    study = Study(tmp_path_factory.mktemp("demo"))
    study.config = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    started = time.monotonic()
    study.snakemake()
    return study, 1.6 * (time.monotonic() - started) / KILLS


def test_repeated_kills_change_nothing(uninterrupted, tmp_path):
    whole, longest = uninterrupted
    study = Study(tmp_path)
    study.config = yaml.safe_load(yaml.safe_dump(whole.config))
    rng = random.Random(time.time_ns())
    moments, trained = kill_and_resume(study, KILLS, longest, rng)
    print("killed after", ", ".join(f"{moment:.1f}" for moment in moments), "seconds")
    print(f"{len(trained)} models trained, at most {max(trained.values())} times each")
    assert len(moments) >= KILLS - 1, f"the study finished too soon: {moments}"
    table = "table2.csv"
    assert (study.results / table).read_text() == (whole.results / table).read_text(), moments
    arms = 10  # (recipe, removal) pairs of Table 2
    assert len(trained) == study.config["memorization"]["models"] + arms * study.config["trials"]
    assert max(trained.values()) == 1, (moments, trained)
    assert not list((study.results / "models").rglob(".*.partial"))
    assert not list((study.results / "models").rglob("*.tmp"))
