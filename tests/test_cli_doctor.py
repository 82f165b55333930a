"""`memaudit doctor`: one line per finding, with a remedy for what is wrong."""

import copy
import dataclasses
import errno
import importlib.metadata
import json
import os
import subprocess

import pytest
import torch
import yaml
from conftest import SMALL, merged

from memaudit.cli import doctor, machine, main, measure
from memaudit.errors import AuditError
from memaudit.models import gpus
from memaudit.models.recipe import Recipe
from memaudit.study import model_times, plan, rates
from memaudit.study.images import known

CPU = torch.device("cpu")
SMALL_RECIPE = {"momentum": 0.9, "warmup": 0.15, **SMALL["recipes"]["original"]}


def answer(stdout="", stderr="", status=0):
    return subprocess.CompletedProcess([], status, stdout, stderr)


def test_exit_status_and_lines(monkeypatch, capsys):
    findings = [
        doctor.Finding("Python", "ok", "3.12"),
        doctor.Finding("GPU", "warning", "old", "buy one"),
    ]
    monkeypatch.setattr(doctor, "findings", lambda: findings)
    assert main(["doctor"]) == 0
    assert "-> buy one\n\n0 problems, 1 warning\n" in capsys.readouterr().out
    findings.append(doctor.Finding("data", "problem", "full", "delete"))
    assert main(["doctor"]) == 1


def test_this_machine_has_no_problem_but_torch_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    missing = gpus.Gpus(error="No module named 'torch'", is_missing=True)
    monkeypatch.setattr(gpus, "visible_gpus", lambda: missing)
    monkeypatch.setattr(machine, "_ask", lambda command: answer(status=1, stderr="none"))
    found = {finding.subject: finding for finding in machine.findings()}
    assert {"Python", "core", "train", "workflow", "CPU", "memory", "Slurm", "HDF5"} <= set(found)
    assert found["core"].status == found["HDF5"].status == found["data"].status == "ok"
    assert "numpy" in found["core"].found


def test_a_missing_extra_is_named(monkeypatch):
    def version(name):
        if name in ("torch", "torchvision"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = {finding.subject: finding for finding in machine._packages()}
    assert found["train"].status == "warning"
    assert found["train"].found.startswith("not installed: torch, torchvision; needed for training")
    assert found["train"].remedy == "pip install '.[train]' (in a clone)"
    assert found["core"].status == "ok"


H100 = gpus.Gpu(0, "H100", "uuid", 80 * 2**30, "9.0", True)
V100 = gpus.Gpu(0, "V100", "uuid", 16 * 2**30, "7.0", False)


@pytest.mark.parametrize(
    ("found", "driver", "status", "words"),
    [
        ({"platform": "CUDA 13.0", "found": (H100,)}, "580.1", "ok", "H100, 80 GiB"),
        ({"platform": ""}, "", "ok", "none"),
        ({"platform": ""}, "580.1", "problem", "build without CUDA"),
        ({"platform": "CUDA 13.0", "error": "driver too old"}, "470", "problem", "too old"),
        ({"platform": "CUDA 13.0", "found": (V100,)}, "", "problem", "not V100 (compute"),
        ({"error": "No module named 'torch'", "is_missing": True}, "", "ok", "not installed"),
        ({"error": "ended with status -11", "is_missing": True}, "", "problem", "status -11"),
    ],
)
def test_gpu(monkeypatch, found, driver, status, words):
    monkeypatch.setattr(gpus, "visible_gpus", lambda: gpus.Gpus(torch="2.9", **found))
    monkeypatch.setattr(gpus, "given_gpu", lambda: "")
    monkeypatch.setattr(machine, "_ask", lambda command: answer(driver))
    monkeypatch.setattr(machine.shutil, "which", lambda name: "found" if driver else None)
    finding = machine._gpu()
    assert finding.status == status and words in finding.found
    assert bool(finding.remedy) == (status == "problem")


def test_ffcv_that_cannot_be_imported(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0.2")
    error = "Traceback\nImportError: libopencv_core.so: cannot open"
    monkeypatch.setattr(machine, "_ask", lambda command: answer(status=1, stderr=error))
    finding = machine._ffcv()
    assert finding.status == "warning" and finding.found.endswith("libopencv_core.so: cannot open")


def test_slurm(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/sinfo")
    monkeypatch.setattr(machine, "_ask", lambda command: answer("slurm 23.02\n"))
    assert machine._slurm().status == "ok"
    down = answer(status=1, stderr="slurm_load_partitions: Unable to contact slurm controller")
    monkeypatch.setattr(machine, "_ask", lambda command: down)
    assert "Unable to contact" in machine._slurm().found


def test_a_read_only_home_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    finding = machine._cache()
    assert finding.status == "problem" and "export XDG_CACHE_HOME=" in finding.remedy
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert machine._cache().status == "ok"


def test_a_full_disk_is_a_warning(monkeypatch, tmp_path):
    assert machine._disk("data", tmp_path / "new", 1e9).status == "warning"
    assert machine._disk("data", tmp_path / "new", 0).status == "ok"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_a_container_with_fewer_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    files = {"/sys/fs/cgroup/cpu.max": "400000 100000", "/proc/cpuinfo": "flags : avx2\n"}
    monkeypatch.setattr(machine, "_text", lambda path: files.get(path, ""))
    finding = machine._cpu()
    assert finding.status == "warning" and "limited to 4.0 cores" in finding.found
    assert finding.remedy == "memaudit run --cores 4"


def test_a_file_system_without_locks_is_a_warning(monkeypatch, tmp_path):
    def fail(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fcntl.flock", fail)
    finding = machine._locking()
    assert finding.status == "warning" and "No locks available" in finding.found


def test_measured_rates_are_what_the_plan_goes_by(monkeypatch, tmp_path, capsys):
    """`doctor --cpu` on the small study; the machine's other checks are left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "findings", lambda: [])
    monkeypatch.setattr(gpus, "visible_gpus", lambda: gpus.Gpus(torch="2.15", platform="CUDA 13"))
    monkeypatch.setattr(measure, "SECONDS", 0.05)
    monkeypatch.setattr(measure, "IMAGES", 512)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(SMALL))
    more = {"recipes": {"original": {"network": "resnet18", "batch_size": 4}}}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(more))
    given = ["doctor", "--cpu", "--gpu", "--configfile", "study.yaml", "more.yaml"]
    assert main(given) == 1  # there is no GPU
    text = capsys.readouterr().out
    assert "problem  rates      no GPU to measure: torch 2.15 (CUDA 13) finds none" in text
    for name in ("resnet18, float32", "resnet18, bfloat16", "tiny, float32", "tiny, bfloat16"):
        assert f"ok       rate       {name}: " in text
    assert "tf32" not in text
    study = measure.configured([tmp_path / "study.yaml", tmp_path / "more.yaml"])
    seconds, basis = model_times.seconds_per_model(study, "cpu", ("weight_decay", "none"))
    rate = rates.find("cpu", "tiny", "float32")
    images = known(study.dataset, study.config.dataset)
    n, side = images.n_train, images.side
    assert (basis, rate.side) == ("timed", side)
    evaluated = (n + images.n_test) / 3
    assert seconds == pytest.approx((20 * n + evaluated) / rate.images_per_second)
    assert 'Basis "timed": rates that `memaudit doctor`' in plan.render_cost(
        study, plan.Machine("cpu", 1)
    )
    assert model_times.seconds_per_model(study, "gpu", ("weight_decay", "none"))[1] == "stated rate"
    rates.add([dataclasses.replace(rate, images_per_second=2 * rate.images_per_second)])
    halved = model_times.seconds_per_model(study, "cpu", ("weight_decay", "none"))[0]
    assert halved == pytest.approx(seconds / 2)
    rates.FILE.write_text("damaged")
    rates._kept.cache_clear()
    assert model_times.seconds_per_model(study, "cpu", ("weight_decay", "none"))[1] == "stated rate"


OWN = """from torch import nn


def own(classes):
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, classes))
"""


def test_a_network_of_ones_own_is_timed_until_it_is_edited(monkeypatch, tmp_path, capsys):
    """Before a run, in another process; here its part is run in this one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "SECONDS", 0.05)
    monkeypatch.setattr(measure, "IMAGES", 512)
    file = tmp_path / "mine_to_time.py"
    file.write_text(OWN)
    config = yaml.safe_load(yaml.safe_dump(SMALL))
    config["recipes"]["original"]["network"] = "mine_to_time:own"
    config["training"]["max_hours"] = 1e-9
    study, machine = measure.Study(config), plan.Machine("cpu", 1)

    def run(command, input, **options):
        names = command[command.index("cpu") + 1 :]
        assert names == ["original"]
        measure.time_networks("cpu", measure.Study(json.loads(input)), names)
        return subprocess.CompletedProcess(command, 0, stderr="own: 7 images/s")

    def basis():
        return model_times.seconds_per_model(study, "cpu", ("original", "none"))[1]

    def refused():
        return plan.too_long(study, machine, plan.estimate(study, machine, study.models))

    assert basis() == "as fz_resnet50"
    assert "`memaudit doctor --cpu --configfile <your files>` measures it" in refused()
    monkeypatch.setattr(model_times.subprocess, "run", run)
    model_times.time_own_networks(study, machine.kind)
    assert "own: 7 images/s; kept in data/rates.json" in capsys.readouterr().err
    assert basis() == "timed" and "memaudit doctor" not in refused()
    monkeypatch.setattr(model_times.subprocess, "run", None)
    model_times.time_own_networks(study, machine.kind)  # nothing is left to time
    file.write_text(f"{OWN}# edited\n")
    assert basis() == "as fz_resnet50"


@pytest.mark.parametrize(
    ("function", "message"),
    [("nowhere", "mine.py has no function nowhere"), ("broken", "RuntimeError: out of ideas")],
)
def test_a_network_of_ones_own_that_fails_stops_the_plan(
    monkeypatch, tmp_path, capfd, function, message
):
    monkeypatch.chdir(tmp_path)
    raises = "def broken(classes):\n    raise RuntimeError(f'out of ideas for {classes} classes')\n"
    (tmp_path / "mine.py").write_text(raises)
    config = copy.deepcopy(SMALL)
    config["recipes"]["original"]["network"] = f"mine:{function}"
    study = measure.Study(config)
    with pytest.raises(
        AuditError, match=rf"could not be timed: network mine:{function}: .*{message}"
    ):
        model_times.time_own_networks(study, "cpu")


def test_a_network_is_only_imported_while_its_input_is_not_known(monkeypatch, tmp_path):
    """It may be made for images of one shape."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exact.py").write_text("def own(classes):\n    raise RuntimeError\n")
    for folder in ("train/ant", "train/bee", "test/ant", "test/bee"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(40):
            (tmp_path / folder / f"{number}.png").touch()
    images = {"kind": "image_folder", "name": "mine", "image_folder": {"path": str(tmp_path)}}
    config = merged(copy.deepcopy(SMALL), {"dataset": images})
    config["recipes"]["original"]["network"] = "exact:own"
    measure.time_networks("cpu", measure.Study(config), ["original"])
    assert not rates.FILE.exists()


def test_a_loader_that_delivers_other_batches_is_a_problem(monkeypatch):
    monkeypatch.setattr(measure, "IMAGES", 512)
    data = measure._random((8, 8))
    dark = dataclasses.replace(data, train_images=data.train_images // 2)
    monkeypatch.setattr(
        measure, "choose_loader", lambda kind, *given: measure.ResidentLoader(dark, 4, CPU)
    )
    finding = measure._batches(data, CPU)
    assert finding.status == "problem" and "delivers other images" in finding.found


def test_captured_steps_are_compared_with_eager_ones(monkeypatch):
    monkeypatch.setattr(measure, "IMAGES", 512)
    recipe, data = Recipe.of(SMALL_RECIPE), measure._random((8, 8))
    assert measure._capture("tiny", recipe, data, CPU).status == "ok"

    class Wrong(measure.Step):
        def __init__(self, recipe, classes, device, graph):
            super().__init__(recipe, classes, device)
            self.scale = 1.001 if graph else 1

        def __call__(self, images, labels, rate):
            return super().__call__(images, labels, rate * self.scale)

    monkeypatch.setattr(measure, "Step", Wrong)
    finding = measure._capture("tiny", recipe, data, CPU)
    assert finding.status == "problem" and "cuda_graphs to false" in finding.remedy
