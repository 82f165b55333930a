"""Run a small study on a two-node Slurm while its jobs and its nodes are killed.

`make test-slurm` runs this on Debian, as root. The nodes are network namespaces of this machine,
and share its files. The GPUs are fake: jobs request and get them, and train on the CPU because
training.device is `cpu`.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, SMALL
from test_interruptions import lines_of, trainings

from memaudit.models.shards import trials_of

CLUSTER = Path(__file__).with_name("cluster")


def lacking() -> str:
    """Return what starting the cluster lacks here, or an empty text."""
    if os.geteuid() != 0 or not Path("/etc/debian_version").exists():
        return "Debian and root"
    try:
        subprocess.run(["unshare", "--net", "--uts", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "network and UTS namespaces (a container with CAP_SYS_ADMIN)"
    return ""


pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"starting Slurm requires {lacking()}")


def cluster(command: str, folder: Path, *node: str) -> None:
    done = subprocess.run(
        [CLUSTER, command, folder, *node], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    try:
        cluster("up", folder)
        yield folder
    finally:
        cluster("down", folder)


@pytest.fixture
def checkout(tmp_path_factory) -> Path:
    """A copy of the project, as after `git clone`, with the configuration of a small study."""
    folder = tmp_path_factory.mktemp("checkout") / "project"
    leave = shutil.ignore_patterns(".git", ".venv", ".snakemake", "results", "*.h5", "__pycache__")
    shutil.copytree(ROOT, folder, symlinks=True, ignore=leave)
    small = yaml.safe_load(yaml.safe_dump(SMALL))
    small["training"] |= {"device": "cpu", "checkpoint_minutes": 0}
    (folder / "small.yaml").write_text(yaml.safe_dump(small))
    return folder


class Run:
    """A running `snakemake --profile slurm` and its training jobs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.log = folder / "run.log"
        command = [sys.executable, "-m", "snakemake", "--profile", "slurm"]
        command += ["--configfile", "small.yaml"]
        # a job may be hit by several of the failures
        command += ["--set-resources", "train:gpu=1", "--retries", "5"]
        # one machine: files are visible immediately and status queries are cheap
        command += ["--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5"]
        self.lines: set[str] = set()  # of the training logs; an attempt may replace a log
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )

    def wait(self, what: str, found: Callable[[], Any], seconds: float = 240) -> Any:
        """Return what `found` returns as soon as that is true."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            has_ended = self.process.poll() is not None
            self.lines |= lines_of(self.folder / "results/small")
            if result := found():
                return result
            if has_ended:
                break
            time.sleep(0.1)
        return pytest.fail(f"no {what}\n{self.log.read_text()[-4000:]}")

    def training(self, but: set[str], on: str = "") -> tuple[str, int, str, Path]:
        """Wait for a job that is not in `but` and trains a model, on the node `on` if given.

        Its log says so, as files of partial results may be those of an earlier attempt. Returns its
        Slurm job ID, its process ID, its node and the folder of its partial results.
        """

        def found() -> tuple[str, int, str, Path] | None:
            for note in (self.folder / "results").rglob(".*.partial/owner.txt"):
                try:
                    owner = re.match(r"Slurm job (\d+), process (\d+) on (\w+)", note.read_text())
                    is_wanted = owner and owner[1] not in but and on in ("", owner[3])
                    is_logged = owner and any(line.endswith(owner[0]) for line in self.lines)
                    if is_wanted and is_logged and any(note.parent.glob("*.pt")):
                        os.kill(int(owner[2]), 0)
                        return owner[1], int(owner[2]), owner[3], note.parent
                except (FileNotFoundError, ProcessLookupError):
                    pass
            return None

        return self.wait("training job", found)

    def frozen_training(self, but: set[str]) -> tuple[str, int, str, Path]:
        """Stop (SIGSTOP) a job that `training` finds, so that it does not finish its model."""
        while True:
            job = self.training(but)
            try:
                os.kill(job[1], signal.SIGSTOP)
            except ProcessLookupError:
                continue
            return job


def state(job: str) -> str:
    """Return the state of a Slurm job."""
    command = ["squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_the_study_survives_a_cluster(finished, slurm, checkout):
    """Table 2 is the same when jobs are cancelled, killed or timed out and nodes fail.

    The jobs of a node that is cut off keep running, and those of a node that only Slurm cannot
    reach.
    """
    run = Run(checkout)
    cancelled, *_ = run.frozen_training(set())
    subprocess.run(["scancel", cancelled], check=True)

    killed, process, _, kept = run.frozen_training({cancelled})
    models = len(list(kept.glob("*.h5")))
    os.kill(process, signal.SIGKILL)

    late, *_ = run.frozen_training({cancelled, killed})  # stopped, so it cannot finish
    subprocess.run(["scontrol", "update", f"JobId={late}", "TimeLimit=1"], check=True)
    cluster("restart", slurm, "node1")

    hit = {cancelled, killed, late}
    failed, _, dead, _ = run.frozen_training(hit)
    cluster("kill", slurm, dead)
    run.wait("node failure", lambda: state(failed) == "NODE_FAIL")
    cluster("boot", slurm, dead)

    other = "node2" if dead == "node1" else "node1"
    lost, *_ = run.training(hit | {failed}, on=other)
    cluster("cut", slurm, other)
    began = time.monotonic()
    run.wait("node failure", lambda: state(lost) == "NODE_FAIL" and time.monotonic() > began + 60)
    cluster("join", slurm, other)

    run.wait("end", lambda: run.process.poll() is not None, 900)
    text = run.log.read_text()
    assert run.process.returncode == 0, text[-6000:]
    for job, status in ((cancelled, "CANCELLED"), (killed, "FAILED"), (late, "TIMEOUT")):
        assert f"SLURM-job '{job}' failed, SLURM status is: '{status}'" in text
    for job in (failed, lost):
        assert (
            f"SLURM-job '{job}' failed due to a node failure, SLURM status is: 'NODE_FAIL'" in text
        )
    assert "models: 90 of 90 trained" in text
    lines = " ".join(run.lines)
    assert models == 0 or f"{models} of {len(trials_of(kept.name[1:14]))} models found" in lines
    assert "stopped by SIGTERM; saved after" in lines
    assert f"Slurm job {failed}, process" in lines and f"Slurm job {lost}, process" in lines
    given = "a GPU was given to this job (CUDA_VISIBLE_DEVICES="
    assert sum(given in line for line in run.lines) >= 12  # training jobs

    table = "results/small/table2.csv"
    assert (checkout / table).read_text() == (finished.folder / table).read_text()
    trained = trainings(run.lines)
    assert len(trained) == 90 and set(trained.values()) == {1}
    assert not list((checkout / "results").rglob(".*.partial"))
