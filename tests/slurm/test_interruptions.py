"""Snakemake and its jobs killed at random moments: the same table, nothing trained twice.

Three kills of a small study, unless the environment says otherwise: MEMAUDIT_KILLS=10 kills it ten
times, MEMAUDIT_DEMO=1 takes the study of `make demo`. Both, in about 20 minutes:

    export MEMAUDIT_KILLS=10 MEMAUDIT_DEMO=1
    .venv/bin/python -m pytest -o addopts=-rP tests/slurm/test_interruptions.py

-rP shows the moments and the numbers of models that it prints.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter

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


def lines_of(study: Study) -> set[str]:
    """What the logs say now of models trained to their end; each line has its time."""
    logs = [*(study.results / "logs/train").rglob("*.log")]
    logs += (study.results / "models").rglob(".*.partial/log")
    return {line for log in logs for line in log.read_text().splitlines() if TRAINED.search(line)}


def kill_and_go_on(
    study: Study, kills: int, longest: float, rng: random.Random
) -> tuple[list[float], Counter]:
    """Run the study, kill it and its jobs `kills` times, let it end.

    Returns the moments at which it was hit, and how often each model was trained to its end: from
    the logs after every kill, for Snakemake deletes a job's log when it starts the job again.
    """
    moments: list[float] = []
    lines: set[str] = set()
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
        lines |= lines_of(study)
        study.snakemake("--unlock")
    study.snakemake()
    lines |= lines_of(study)
    return moments, Counter(TRAINED.search(line).groups() for line in lines)


@pytest.fixture
def uninterrupted(request, tmp_path_factory) -> Study:
    """A study that ran to its end in one go."""
    if not DEMO:
        return request.getfixturevalue("finished")
    study = Study(tmp_path_factory.mktemp("demo"))
    study.config = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    study.snakemake("results/demo/table2.csv")
    return study


def test_killed_again_and_again(uninterrupted, tmp_path):
    study = Study(tmp_path)
    study.config = yaml.safe_load(yaml.safe_dump(uninterrupted.config))
    rng = random.Random(time.time_ns())
    moments, trained = kill_and_go_on(study, KILLS, 60.0 if DEMO else 20.0, rng)
    print("killed after", ", ".join(f"{moment:.1f}" for moment in moments), "seconds")
    print(f"{len(trained)} models trained, at most {max(trained.values())} times each")
    assert len(moments) >= KILLS - 1, f"it ended too soon: {moments}"
    table = "table2.csv"
    assert (study.results / table).read_text() == (uninterrupted.results / table).read_text(), (
        moments
    )
    arms = 10  # recipes and removals of Table 2
    assert len(trained) == study.config["memorization"]["models"] + arms * study.config["trials"]
    assert max(trained.values()) == 1, (moments, trained)
    assert not list((study.results / "models").rglob(".*.partial"))
    assert not list((study.results / "models").rglob("*.tmp"))
