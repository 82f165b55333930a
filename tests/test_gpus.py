"""The GPUs that a study is planned for: those that torch can use, asked in another process."""

import json
import subprocess

import pytest
import torch
from conftest import Study

from memaudit.models import gpus
from memaudit.models.gpus import Gpu, Gpus
from memaudit.study import plan

VARIABLES = ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_JOB_ID", gpus.ANSWER)
H100 = Gpu(0, "H100", "a", 80 * 2**30, "9.0", True)
V100 = Gpu(1, "V100", "b", 16 * 2**30, "7.0", False)


@pytest.fixture
def asked(monkeypatch):
    """Return a machine with a GPU's driver: what torch answers there, and how often it is asked."""
    answers, commands = [Gpus(torch="2.15", platform="CUDA 13.2", found=(H100, V100))], []

    def run(command):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, f"a line\n{gpus.as_json(answers[0])}\n", "")

    monkeypatch.setattr(gpus, "run", run)
    monkeypatch.setattr(gpus, "GIVEN", "nowhere/*")
    monkeypatch.setattr(gpus, "SIGNS", ("/proc/self",))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(gpus.ANSWER, "")  # restored after the test
    gpus._visible_gpus.cache_clear()
    yield answers, commands
    gpus._visible_gpus.cache_clear()


def test_torch_is_asked_once_for_this_process_and_those_it_starts(asked, monkeypatch):
    answers, commands = asked
    assert [plan.this_machine("auto") for _ in range(2)] == [plan.Machine("gpu", 1)] * 2
    gpus._visible_gpus.cache_clear()  # as in a job of the run
    assert gpus.visible_gpus() == answers[0] and len(commands) == 1
    monkeypatch.setenv("SLURM_JOB_ID", "7")  # another machine, other GPUs
    gpus.visible_gpus()
    assert len(commands) == 2


def test_torch_is_not_asked_where_there_is_no_gpu(asked, monkeypatch):
    _, commands = asked
    assert plan.this_machine("cpu").kind == "cpu"
    monkeypatch.setattr(gpus, "SIGNS", ("/nowhere/*",))
    assert plan.this_machine("auto") == plan.Machine("cpu", plan.this_machine("cpu").workers)
    monkeypatch.setattr(gpus, "SIGNS", ("/proc/self",))
    for hidden in gpus.HIDDEN:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert plan.this_machine("auto").kind == "cpu"
    assert commands == []


@pytest.mark.parametrize(
    ("answer", "given", "reason"),
    [
        (Gpus(torch="2", platform="CUDA 13.2", error="driver too old"), "0", "driver too old"),
        (Gpus(torch="2", platform="CUDA 13.2", error="driver too old"), None, ""),
        (Gpus(torch="2+cpu"), "0", "without CUDA"),
        (Gpus(torch="2", platform="CUDA 13.2", found=(V100,)), None, "V100 (compute capability"),
        (Gpus(torch="2", platform="ROCm 7", found=(H100,)), "0", None),
    ],
)
def test_the_plan_is_what_torch_will_do(asked, monkeypatch, answer, given, reason):
    answers, _ = asked
    answers[0] = answer
    if given:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    machine = plan.this_machine("auto")
    assert machine.kind == ("gpu" if reason is None else "cpu")
    assert (reason or "") in machine.problem and bool(machine.problem) == bool(reason)
    assert bool(plan.this_machine("cuda").problem) == (reason is not None)


def test_torch_that_crashes_is_a_reason(asked, monkeypatch):
    crash = subprocess.CompletedProcess([], -11, "", "")
    monkeypatch.setattr(gpus, "run", lambda command: crash)
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    assert "cannot be imported (ended with status -11)" in plan.this_machine("auto").problem


def test_a_slurm_job_without_a_gpu_was_given_none(asked, monkeypatch):
    monkeypatch.setattr(gpus, "GIVEN", "/proc/self")
    assert gpus.given_gpu() == "/proc/self"
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert gpus.given_gpu() == ""


def test_this_torch_answers(monkeypatch):
    """The real question, in another process."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    answer = json.loads(json.dumps(gpus._ask()))
    assert answer["found"] == [] and answer["torch"] and not answer["is_missing"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU can be used")
def test_a_run_stops_before_its_first_job(tmp_path, monkeypatch):
    study = Study(tmp_path)
    study.config["training"]["device"] = "auto"
    monkeypatch.delenv(gpus.ANSWER, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    done = study.snakemake(check=False)
    assert done.returncode != 0
    assert "a GPU was given to this job (CUDA_VISIBLE_DEVICES=0), but cannot be used" in done.stderr
    assert not list(tmp_path.rglob("*.h5"))
