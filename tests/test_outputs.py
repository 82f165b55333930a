"""What `atomic_write` and the commands write to: files and links, devices, pipes, folders."""

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import write_folder

from memaudit import store
from memaudit.cli import main
from memaudit.errors import AuditError


def write(path, text="new\n"):
    with store.atomic_write(path) as temporary:
        temporary.write_text(text)


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    real, link, other = tmp_path / "far/real.csv", tmp_path / "link.csv", tmp_path / "other.csv"
    real.write_text("old\n")
    link.symlink_to("other.csv")
    other.symlink_to("far/real.csv")
    write(link)
    assert link.is_symlink() and other.is_symlink() and real.read_text() == "new\n"
    assert [p.name for p in real.parent.iterdir()] == ["real.csv"]


def test_a_dangling_link_creates_its_target(tmp_path):
    (tmp_path / "link.csv").symlink_to("far/new.csv")
    store.check_writable(tmp_path / "link.csv")
    write(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "far/new.csv").read_text() == "new\n"


def test_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for act in (store.check_writable, write):
        with pytest.raises(AuditError, match="Too many levels of symbolic links"):
            act(tmp_path / "a")


@pytest.fixture
def special(tmp_path):
    """One of each thing that is no regular file; the socket's path must be short."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link to pipe").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        before = os.open(".", os.O_RDONLY)
        os.chdir(tmp_path)
        try:
            listening.bind("socket")
        finally:
            os.fchdir(before)
            os.close(before)
        yield tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("folder", "folder"), ("pipe", "pipe"), ("link to pipe", "pipe"), ("socket", "socket")],
)
def test_what_is_no_file_is_refused(special, name, kind):
    before = (special / name).lstat().st_mode
    for act in (store.check_writable, write):
        with pytest.raises(AuditError, match=rf"is a {kind}; name a file to write to"):
            act(special / name)
    assert (special / name).lstat().st_mode == before
    assert len(list(special.iterdir())) == 4


def test_a_device_is_written_through(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"")
    except PermissionError:
        pytest.skip("making a device takes root")
    (tmp_path / "link").symlink_to("null")
    for path in (device, tmp_path / "link"):
        store.check_writable(path)
        write(path)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "null"]


def test_the_null_device_stays():
    write("/dev/null")
    assert Path("/dev/null").is_char_device()


CODE = """
import sys
from pathlib import Path
from memaudit import store
print("before")
with store.atomic_write(sys.argv[1]) as temporary:
    temporary.write_text("written\\n")
print("after")
"""


def test_an_open_descriptor_is_written_to(tmp_path):
    """Also where the shell redirects it to a file, whose earlier lines stay."""
    (tmp_path / "link").symlink_to("/dev/stdout")
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", tmp_path / "link"):
        log = tmp_path / "log"
        log.write_text("kept\n")
        with open(log, "a") as out:
            subprocess.run([sys.executable, "-c", CODE, str(name)], stdout=out, check=True)
        assert log.read_text() == "kept\nbefore\nwritten\nafter\n"


def test_permissions_are_kept(tmp_path):
    path = tmp_path / "private.csv"
    path.write_text("old")
    path.chmod(0o640)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_name_as_long_as_a_name_may_be(tmp_path):
    path = tmp_path / ("ü" * 125 + ".csv")
    write(path)
    assert path.read_text() == "new\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_mounted_by_itself_is_written_in_place(tmp_path):
    """As `docker run -v $PWD/pairs.csv:/pairs.csv` mounts it: renaming over it is refused."""
    real, mounted = tmp_path / "real.csv", tmp_path / "mounted.csv"
    real.write_text("old")
    mounted.write_text("")
    mount = ["mount", "--bind", str(real), str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting takes root")
    try:
        write(mounted)
        assert real.read_text() == mounted.read_text() == "new\n"
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_the_check_creates_nothing(tmp_path):
    store.check_writable(tmp_path / "a/b/c.csv")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="Not a directory"):
        store.check_writable(tmp_path / "file/c.csv")


# --- the commands ---------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path):
    write_folder(tmp_path / "images", each=6)
    return tmp_path / "images"


@pytest.fixture
def never(monkeypatch):
    """Fail where the work begins."""

    def work(*arguments, **options):
        raise AssertionError("the work began")

    monkeypatch.setattr("memaudit.duplicates.files.read_sides", work)
    monkeypatch.setattr("memaudit.data.survey.survey", work)
    monkeypatch.setattr("memaudit.cli.scores._read", work)


@pytest.mark.parametrize(
    "arguments",
    [
        ["duplicates", "images", "-o", "OUT"],
        ["init", "images", "-o", "OUT"],
        ["scores", "arrays.npz", "-o", "OUT"],
    ],
)
def test_an_output_that_cannot_be_written_is_found_before_the_work(
    arguments, tmp_path, never, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "file").write_text("")
    given = [str(tmp_path / "file/x") if word == "OUT" else word for word in arguments]
    assert main(given) == 1
    assert "could not be written (Not a directory)" in capsys.readouterr().err
    if arguments[0] != "scores":
        assert main([*given[:-1], str(tmp_path)]) == 1
        assert "is a folder; name a file to write to" in capsys.readouterr().err


def test_an_input_is_never_replaced(images, tmp_path, never, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = next(images.glob("train/*/*"))
    for file in ("arrays.npz", "a.csv", "b.csv", "out/scores.h5"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("kept")
    (tmp_path / "same.csv").symlink_to("arrays.npz")
    (tmp_path / "hard.csv").hardlink_to(one)
    (tmp_path / "pool.png").write_bytes(one.read_bytes())
    one.with_name("link.png").symlink_to(tmp_path / "pool.png")
    compare = ["annotations", "compare", "a.csv", "b.csv"]
    for arguments in (
        ["duplicates", "arrays.npz", "-o", "arrays.npz"],
        ["duplicates", "arrays.npz", "-o", "./same.csv"],
        ["duplicates", "images", "-o", str(one)],
        ["duplicates", "images", "-o", "hard.csv"],
        ["duplicates", "images", "-o", "pool.png"],
        ["duplicates", "images", "-o", "images/train/new/pairs.csv"],
        ["init", "arrays.npz", "-o", "arrays.npz", "--force"],
        ["scores", "out/scores.h5", "-o", "out", "--hdf5"],
        [*compare, "--disagreements", "a.csv"],
        [*compare, "--merged", "b.csv"],
        [*compare, "--merged", "new.csv", "--disagreements", "./new.csv"],
    ):
        before = one.read_bytes()
        assert main(arguments) == 1, arguments
        assert re.search("this is (an input|among the images)", capsys.readouterr().err), arguments
        assert one.read_bytes() == before and not list(tmp_path.glob("new*"))
    assert {(tmp_path / file).read_text() for file in ("arrays.npz", "a.csv", "b.csv")} == {"kept"}
    with pytest.raises(AssertionError, match="the work began"):
        main(["duplicates", "images", "-o", "images/pairs.csv"])


def memaudit(*arguments, **options):
    command = [sys.executable, "-m", "memaudit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_commands_write_to_the_standard_output(images):
    """The file and nothing else; messages go to stderr."""
    done = memaudit("duplicates", images, "-o", "-")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "train_path,test_path,score,kind,probability"
    assert all(line.count(",") == 4 for line in lines)
    assert "pairs, best first" in done.stderr
    done = memaudit("init", images, "-o", "/dev/stdout")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# Study of ") and "Written:" in done.stderr


def test_a_reader_that_ends_early_is_no_error():
    """As `memaudit duplicates photos -o - | head -1` does."""
    code = (
        "import memaudit.cli.doctor as doctor, memaudit.cli as cli, sys\n"
        "doctor.main = lambda arguments: [print('x' * 99) for _ in range(9999)] and 0\n"
        "sys.exit(cli.main(['doctor']))"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141


def test_names_that_a_terminal_cannot_print():
    code = "import memaudit.cli as cli, memaudit.cli.doctor as d\n"
    code += "d.main = lambda arguments: print('caf\\u00e9 \\udcff \\u4e2d')\ncli.main(['doctor'])"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (0, "caf\\xe9 \\udcff \\u4e2d\n"), done.stderr


def test_the_standard_output_is_full(images):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "memaudit", "init", str(images), "-o", "-"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "could not be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr


def test_large_files_follow_links_too(tmp_path):
    (tmp_path / "pairs.h5").symlink_to("far/pairs.h5")
    labels = np.arange(4)
    fields = dict.fromkeys(("train_labels", "n_in", "n_out", "test_labels", "test_right"), labels)
    with store.create_large(
        tmp_path / "pairs.h5", store.ALL_PAIRS, {}, fields, {"influence": (4, 4)}
    ) as add:
        add(np.ones((4, 4)))
    assert (tmp_path / "pairs.h5").is_symlink()
    with store.reading(tmp_path / "pairs.h5", store.ALL_PAIRS) as file:
        assert file["influence"].shape == (4, 4)
