"""Run a small study on a one-node Slurm while its jobs are cancelled, killed and timed out.

`make test-slurm` runs this on Debian, as root. The GPUs are fake: jobs request and get them, and
train on the CPU because training.device is `cpu`.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, SMALL

CLUSTER = Path(__file__).with_name("cluster")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/etc/debian_version").exists(),
    reason="starting Slurm requires Debian and root",
)


def cluster(command: str, folder: Path) -> None:
    done = subprocess.run(
        [CLUSTER, command, folder],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"CPUS": "4", "GPUS": "4"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    cluster("up", folder)
    yield folder
    cluster("down", folder)


@pytest.fixture(scope="module")
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
        command += ["--set-resources", "train:gpu=1"]
        # one node: files are visible immediately and status queries are cheap
        command += ["--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5"]
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )

    def frozen_training(self, but: set[str]) -> tuple[str, int, Path]:
        """Stop (SIGSTOP) a training job that is not in `but` while it trains a model.

        Returns its Slurm job ID, its process ID and the folder of its partial results.
        """
        until = time.monotonic() + 240
        while time.monotonic() < until and self.process.poll() is None:
            for lock in (self.folder / "results").rglob(".*.partial/lock"):
                try:
                    found = re.match(r"Slurm job (\d+), process (\d+)", lock.read_text())
                    if found and found[1] not in but and any(lock.parent.glob("*.pt")):
                        os.kill(int(found[2]), signal.SIGSTOP)
                        return found[1], int(found[2]), lock.parent
                except (FileNotFoundError, ProcessLookupError):
                    pass
            time.sleep(0.02)
        pytest.fail("no training job started\n" + self.log.read_text()[-4000:])


def test_the_study_survives_a_cluster(finished, slurm, checkout):
    """Cancelled, killed and timed-out jobs and a restarted slurmd do not change Table 2."""
    run = Run(checkout)
    hit: set[str] = set()

    cancelled, _, _ = run.frozen_training(hit)
    hit.add(cancelled)
    subprocess.run(["scancel", cancelled], check=True)

    killed, process, kept = run.frozen_training(hit)
    hit.add(killed)
    models = len(list(kept.glob("*.h5")))
    os.kill(process, signal.SIGKILL)

    late, _, _ = run.frozen_training(hit)  # stopped, so it cannot finish
    hit.add(late)
    subprocess.run(["scontrol", "update", f"JobId={late}", "TimeLimit=1"], check=True)

    daemon = int((slurm / "slurmd.pid").read_text())
    os.kill(daemon, signal.SIGTERM)
    time.sleep(8)
    cluster("node", slurm)

    assert run.process.wait(timeout=900) == 0, run.log.read_text()[-6000:]
    text = run.log.read_text()
    for job, state in ((cancelled, "CANCELLED"), (killed, "FAILED"), (late, "TIMEOUT")):
        assert f"SLURM-job '{job}' failed, SLURM status is: '{state}'" in text
    assert "models: 90 of 90 trained" in text

    logs = [path.read_text() for path in (checkout / "results").rglob("train/**/*.log")]
    assert sum(len(re.findall(r"trial \d+, \d+ of", log)) for log in logs) == 90
    after = next(log for log in logs if f"Slurm job {killed}," in log)
    assert models == 0 or f"{models} of" in after
    at_limit = next(log for log in logs if f"Slurm job {late}," in log)
    assert "stopped by SIGTERM; saved after" in at_limit
    given = "a GPU was given to this job (CUDA_VISIBLE_DEVICES="
    assert all(given in log for log in logs)
    assert not list((checkout / "results").rglob(".*.partial"))

    table = "results/small/table2.csv"
    assert (checkout / table).read_text() == (finished.folder / table).read_text()
