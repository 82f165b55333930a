"""Full disks, missing permissions and interrupts: one message, and earlier files stay."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from study_files import IMAGES, OTHER, told, write

from memaudit.data.dataset import save
from memaudit.models.removals import read_examples
from memaudit.study import endings
from memaudit.study.jobs import job


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Return a working folder with a dataset."""
    monkeypatch.chdir(tmp_path)
    save(IMAGES, "data/it.h5")
    return tmp_path


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
