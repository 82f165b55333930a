"""Errors of the system, files in use and damage are told apart when an HDF5 file is read."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
from study_files import IMAGES, RECIPE, SHARD, shard
from study_files import mask as subset

from memaudit import store, tables
from memaudit.cli.scores import _read
from memaudit.data.cifar import _members
from memaudit.data.dataset import load, save
from memaudit.errors import AuditError
from memaudit.models import locks
from memaudit.models.identity import model_identity
from memaudit.models.shards import Origin, find_models, read_shards
from memaudit.published.files import read_npz


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A shard of two models, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shard()
    return tmp_path / SHARD


def read():
    return read_shards([SHARD], range(2), ["test_correct"], Origin("subset", RECIPE.settings()))


def failed(act=read):
    with pytest.raises(AuditError) as caught:
        act()
    return str(caught.value)


# --- errors of the system -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOLCK, "HDF5_USE_FILE_LOCKING=FALSE"),
        (errno.EAGAIN, "HDF5_USE_FILE_LOCKING=FALSE"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ESTALE, "file server failed"),
        (errno.EIO, "file server failed"),
        (errno.EACCES, "permissions"),
        (errno.ENOMEM, ""),
    ],
)
@pytest.mark.parametrize("named", ["number", "text"])
def test_an_error_of_the_system_is_named_and_nothing_is_to_be_deleted(
    path, monkeypatch, number, hint, named
):
    """HDF5 names the error in the text of exceptions of several kinds."""
    text = f"Unable to open object (file read failed, errno = {number}, error message = ...)"
    error = OSError(number, text) if named == "number" else KeyError(text)

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(h5py, "File", fail)
    message = failed()
    assert message.startswith(f"{SHARD}: cannot be read ({os.strerror(number)}). This is an error")
    assert "keep the file" in message and hint in message
    assert "rm " not in message and "damaged" not in message


def test_an_error_while_arrays_are_read(path):
    with (
        pytest.raises(store.UnreadableError, match=r"cannot be read \(Input/output error\)"),
        store.reading(path, store.SHARD),
    ):
        raise OSError("Can't read data (file read failed: errno = 5, error message = 'I/O')")


def test_too_many_open_files(path):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(p.name) for p in Path("/proc/self/fd").iterdir()) + 1
    held = [os.open(path, os.O_RDONLY) for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limit[1]))
    try:
        while True:
            try:
                held.append(os.dup(held[0]))
            except OSError:
                break
        message = failed()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        for descriptor in held:
            os.close(descriptor)
    assert "Too many open files" in message and "rm " not in message


def unreadable(path):
    """Make reading `path` an error of the system: too many links lead to it."""
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    "act",
    [
        lambda path: tables.read(path, {"a": str}),
        lambda path: _members(path, []),
        lambda path: read_npz(path, ["x"]),
        lambda path: _read(path, None),
        lambda path: read_shards([path], range(2), [], Origin("subset", {})),
    ],
)
def test_other_readers_advise_to_delete_nothing(tmp_path, act):
    unreadable(tmp_path / "file")
    message = failed(lambda: act(tmp_path / "file"))
    assert "cannot be read (Too many levels of symbolic links)" in message
    assert "keep the file" in message
    assert not any(word in message.lower() for word in ("delete it", "rm -f", "download"))


# --- locks ----------------------------------------------------------------------------------------


def test_reading_needs_no_lock(path):
    """Another program holds the lock, or, all the same, the file system has none."""
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert read()["test_correct"].shape[0] == 2


def test_reading_what_a_notebook_has_open(path):
    """HDF5 refuses to open a file twice in a process with different locking."""
    for locking in (None, True, False, "best-effort"):
        with h5py.File(path, "r", locking=locking):
            assert read()["test_correct"].shape[0] == 2


def test_training_where_there_are_no_locks(tmp_path, monkeypatch):
    def fail(lock):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks, "try_acquire", fail)
    lines = []
    with locks.exclusive(
        tmp_path, "me", patience=9, report=lines.append, stopping=lambda: False
    ) as heartbeat:
        heartbeat()
    assert len(lines) == 1 and "No locks available; continuing without the lock" in lines[0]


# --- files that are open for writing --------------------------------------------------------------

HOLD = """
import os, signal, sys, h5py
file = h5py.File(sys.argv[1], "r+")
if sys.argv[2] == "edit":
    file["seconds"][...] = 7
    file.flush()
print("open", flush=True)
sys.stdin.readline() or os.kill(os.getpid(), signal.SIGKILL)
file.close()
"""


def held(path, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(path), *arguments, ""]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    return process


def test_a_file_that_is_open_for_writing(path):
    before = path.read_bytes()
    process = held(path)
    message = failed()
    assert "a program has this file open for writing, or ended without closing it" in message
    assert "Its arrays are as they were written" in message
    assert "rm " not in message and "damaged" not in message
    process.communicate("close\n")
    assert path.read_bytes() == before
    assert read()["test_correct"].shape[0] == 2


def test_a_file_whose_writer_was_killed_reads_after_the_command_of_the_message(path):
    process = held(path)
    process.communicate("")
    assert process.returncode != 0
    message = failed()
    command = message.partition("clear the flag: ")[2].partition(" (or h5clear")[0]
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True)
    assert read()["test_correct"].shape[0] == 2


def test_a_file_that_is_being_edited(path):
    process = held(path, "edit")
    assert "It has been modified since memaudit wrote it" in failed()
    process.communicate("close\n")
    assert "damaged or of another kind (wrong checksum" in failed()


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_a_file_of_another_program_that_is_open_for_writing(tmp_path, version):
    save(IMAGES, tmp_path / "ours.h5")
    theirs = tmp_path / "theirs.h5"
    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(theirs, "w", libver=version) as file:
        for name in ours:
            ours.copy(name, file)
    assert load(theirs).n_train == IMAGES.n_train
    process = held(theirs)
    message = failed(lambda: load(theirs))
    assert "open for writing" in message and "Its arrays may be whole" in message
    process.communicate("close\n")
    assert load(theirs).n_train == IMAGES.n_train


def test_models_that_cannot_be_read_now_are_not_trained_again(path):
    """Damaged ones are, and the log says so."""
    masks = {trial: subset(trial) for trial in range(2)}
    identity = model_identity(RECIPE, seed=0, dataset=IMAGES.digest(), subset_fraction=0.7)
    lines = []
    assert len(find_models(path, identity, masks, (), lines.append)[0]) == 2
    process = held(path)
    with pytest.raises(store.UnreadableError):
        find_models(path, identity, masks, (), lines.append)
    process.communicate("close\n")
    assert lines == []
    path.write_bytes(path.read_bytes()[:3000])
    assert find_models(path, identity, masks, (), lines.append)[0] == {}
    assert "damaged" in lines[0] and "Its models are trained again" in lines[0]


# --- damage ---------------------------------------------------------------------------------------


def test_the_remedy_for_damage_begins_with_what_is_lost(path):
    other = "shards/000002-000003.h5"
    shard(other, (2, 3))
    with h5py.File(path) as file:
        assert np.all(file["seconds"][:] == 1)
    path.write_bytes(path.read_bytes()[:3000])
    message = failed()
    loss = "Unless you have a copy, 2 models, about 2 seconds of training, will be trained again. "
    assert f"{loss}To rebuild it: rm -f {SHARD}" in message
    Path(other).unlink()
    assert "Unless you have a copy, 2 models will be trained again. To rebuild" in failed()
    save(IMAGES, "data.h5")
    with open("data.h5", "rb+") as file:
        file.truncate(3000)
    message = failed(lambda: load("data.h5"))
    assert "No model is lost as long as the images" in message.partition("To rebuild")[0]


def test_a_pipe_is_not_waited_for(path):
    path.unlink()
    os.mkfifo(path)
    assert "(not a file)" in failed()


def test_a_link_to_a_disk_that_is_not_there(path):
    path.rename(path.with_name("elsewhere.h5"))
    path.symlink_to("/archive/shard.h5")
    message = failed()
    assert "/archive/shard.h5, is not there. Mount" in message and "rm " not in message
