"""Faults of a user: the error names what is wrong and what to do, without a traceback.

The faults of `faults.FAULTS`, full disks, and at the end the same through Snakemake itself.
"""

import contextlib
import copy
import dataclasses
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Study
from faults import CONFIG, FAULTS, IMAGES, OTHER, RECIPE, folder, merge, npz, refused, shard, write
from test_config import merged
from test_datasets import write_folder

from memaudit.data.dataset import load, save
from memaudit.models.removals import read_examples
from memaudit.study import endings
from memaudit.study.checks import read_config
from memaudit.study.jobs import job
from memaudit.study.owner import claim


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Return a working folder with one valid file of each kind."""
    monkeypatch.chdir(tmp_path)
    shard()
    write_folder(tmp_path / "images")
    source = dict.fromkeys(("licence", "citation", "use", "checked"), "none")
    source |= {"file": "file.bin", "urls": ["http://nowhere/file.bin"], "size": None}
    source |= {"sha256": "0" * 64, "md5": None}
    write("sources.yaml", yaml.safe_dump({"it": source}))
    save(IMAGES, "data/it.h5")
    return tmp_path


def told(act, capsys) -> str:
    """Return the message of a job that runs `act`, in its log and on standard error."""
    with pytest.raises(SystemExit) as stopped, job("log/it.log"):
        act()
    assert stopped.value.code == 1
    shown = capsys.readouterr()
    with open("log/it.log") as file:
        log = file.read()
    assert "Traceback" not in shown.out + shown.err + log
    assert "allow_pickle" not in shown.err
    text = shown.err.removeprefix("error: ")
    assert text.strip() in log
    return text.strip()


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_names_the_fault(lab, name, capsys):
    act, fragments = FAULTS[name]
    text = told(act, capsys)
    for fragment in fragments:
        assert fragment in text
    lines = text.removeprefix("the configuration is not valid:\n").splitlines()
    if lines[0].endswith("faults:"):  # of a folder of images all are listed, one per line
        assert lines[0] == f"images: {len(lines) - 1} faults:"
    else:
        assert len(lines) == 1 or "inf" in text


def test_at_least_twenty_faults_of_each_kind():
    configurations = sum(act.__qualname__.startswith("refused") for act, _ in FAULTS.values())
    assert configurations >= 20
    assert len(FAULTS) - configurations >= 20


def test_what_is_right_is_read(lab):
    npz()()
    for act in (refused({}), merge, folder, lambda: load("data/it.h5")):
        act()


@pytest.mark.parametrize(
    "text", ["{max_hours: null}", "{max_hours: 3}", "{max_hours: '1e3', device: cpu}"]
)
def test_values_of_the_command_line_count(text):
    config = merged(copy.deepcopy(CONFIG), {"training": yaml.load(text, yaml.BaseLoader)})
    assert read_config(config).training.max_hours in (None, 3.0, 1000.0)


@pytest.mark.parametrize("limit", [0, 600, 5_000, 20_000])
def test_a_full_disk_leaves_what_was_there(lab, limit, capsys):
    """The kernel refuses to let a file grow beyond the limit, as it does on a full disk."""
    before = {p: p.read_bytes() for p in lab.rglob("*") if p.is_file()}
    old = resource.getrlimit(resource.RLIMIT_FSIZE)

    def act():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        try:
            save(OTHER, "data/it.h5")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)

    text = told(act, capsys)
    assert "data/it.h5: could not be written (File too large). Earlier results are" in text
    assert len(text.splitlines()) == 1
    assert {
        p: p.read_bytes() for p in lab.rglob("*") if p.is_file() and p.suffix != ".log"
    } == before


def test_a_disk_that_is_really_full(lab, capsys):
    """A file system of 100 KB, if it may be mounted, filled but for a few blocks."""
    Path("disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", "disk"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes root")
    try:
        write("disk/old.h5", b"old")
        for size in (95_000, 80_000, 60_000):
            write("disk/fill", bytes(size))
            text = told(lambda: save(IMAGES, "disk/it.h5"), capsys)
            assert "disk/it.h5: could not be written (No space left on device)" in text
            assert sorted(p.name for p in Path("disk").iterdir()) == ["fill", "old.h5"]
        Path("disk/fill").unlink()
        save(IMAGES, "disk/it.h5")
    finally:
        subprocess.run(["umount", "disk"], check=True)


def test_a_log_that_does_not_fit_does_not_hide_the_error(lab, capsys):
    with pytest.raises(SystemExit), job("/dev/full") as report:
        report("going on")
        read_examples("nowhere.txt")
    shown = capsys.readouterr().err
    assert shown.startswith("error: nowhere.txt: the list of examples cannot be read")
    with pytest.raises(SystemExit), job("data/it.h5/log"):
        pass
    assert capsys.readouterr().err == "error: data/it.h5: File exists\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(lab, capsys):
    (lab / "data").chmod(0o500)
    try:
        text = told(lambda: save(OTHER, "data/it.h5"), capsys)
    finally:
        (lab / "data").chmod(0o700)
    assert "data/it.h5: could not be written (Permission denied)" in text


def test_a_file_where_a_folder_should_be(lab, capsys):
    write("results", "")
    text = told(lambda: save(OTHER, "results/a/it.h5"), capsys)
    assert "results/a/it.h5: could not be written (Not a directory)" in text


def test_ctrl_c_during_imports_prints_nothing_and_is_logged(tmp_path):
    log = tmp_path / "logs" / "1.log"
    code = f"""from types import SimpleNamespace
from memaudit.study.jobs import job
snakemake = SimpleNamespace(log=[{str(log)!r}])
raise KeyboardInterrupt"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr == ""
    assert endings.failure(log, 0) == "interrupted"
    for script in ("train", "all_pairs"):  # torch takes seconds
        first = (ROOT / f"workflow/scripts/{script}.py").read_text().partition("\nfrom ")[2]
        assert first.startswith("memaudit.study.jobs import job")


# --- the same through Snakemake -------------------------------------------------------------------


@pytest.fixture
def quick(tmp_path):
    """A study whose ten subset models train in a second, with its dataset."""
    study = Study(tmp_path)
    study.config["memorization"]["models"] = study.config["training"]["models_per_job"] = 10
    study.config["recipes"]["original"]["epochs"] = 1
    return study


def failed(done) -> str:
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    return text


def test_snakemake_prints_the_configuration_errors(quick):
    quick.config["trials"], quick.config["memorization"]["path"] = [3], "nowhere"
    assert "trials = [3]: must be an integer from 1" in failed(quick.snakemake("-n", check=False))


def test_a_folder_without_a_configuration_uses_the_defaults(quick):
    planned = quick.planned()
    (quick.folder / "config" / "config.yaml").unlink()
    assert quick.planned() == planned


def test_the_command_in_the_message_rebuilds_a_damaged_shard(quick):
    with contextlib.chdir(quick.folder):
        save(IMAGES, "data/small.h5")
        write("data/small.sha256", IMAGES.digest())
        name = "results/small/models/original/subset/000000-000009.h5"
        recipe = dataclasses.replace(RECIPE, epochs=1)
        shard(name, range(10), recipe)
        with open(name, "rb+") as file:
            file.truncate(3000)
        scores = "results/small/scores/original.h5"
        text = failed(quick.snakemake(scores, check=False))
        command = re.search(r"rebuild it: (rm -f (\S+) && snakemake (\S+)) ", text)
        assert shlex.split(command[1])[2] == command[3] == name
        Path(command[2]).unlink()
        quick.snakemake(command[3], scores)
        assert Path(scores).exists()


def test_a_full_disk_is_one_message(quick):
    quick.config["dataset"]["longtail"]["image_size"] = 64
    command = quick.snakemake
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, old[1]))
    try:
        text = failed(command("data/small.h5", check=False))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert "data/small.h5: could not be written (File too large)" in text
    assert not [p for p in quick.folder.glob("data/*") if "small" in p.name]


def test_images_that_cannot_be_read_again_do_not_cost_the_dataset(quick):
    write_folder(quick.folder / "photos", each=10)
    photos = {"path": "photos", "per_class": 9}
    quick.config["dataset"] = {"kind": "image_folder", "name": "mine", "image_folder": photos}
    quick.config["recipes"]["original"]["batch_size"] = 4
    quick.config["recipes"]["weight_decay"]["batch_size"] = 4
    quick.snakemake("data/mine.h5")
    files = [quick.folder / "data" / name for name in ("mine.h5", "mine.sha256")]
    before = [file.read_bytes() for file in files]
    (quick.folder / "photos").rename(quick.folder / "moved")
    assert quick.planned("data/mine.h5") == {}  # the settings are unchanged
    photos["path"] = "photso"
    assert "image_folder.path = 'photso': directory not" in failed(
        quick.snakemake("data/mine.h5", check=False)
    )
    photos["path"] = "moved"
    next((quick.folder / "moved/train").glob("*/*")).write_bytes(b"")
    assert "empty file" in failed(quick.snakemake("data/mine.h5", check=False))
    assert [file.read_bytes() for file in files] == before


def test_snakemake_stops_before_it_writes_over_another_study(quick):
    claim(quick.results, "first")
    text = failed(quick.snakemake("data/small.h5", check=False))
    assert "this folder holds the study of the dataset 'first'" in text
    assert not (quick.folder / "data").exists()
