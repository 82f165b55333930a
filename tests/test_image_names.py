"""Names of images and classes: Unicode forms, links, hidden folders, terminals, locales."""

import io
import os
import subprocess
import sys
import unicodedata

import pytest
from image_files import SMOOTH, write_folder
from PIL import Image

from memaudit.cli import main
from memaudit.data.image_folder import count_images, read_image_folder
from memaudit.duplicates import read_sides
from memaudit.errors import AuditError
from memaudit.names import printable


def test_hidden_folders_are_no_classes(tmp_path):
    """torchvision 2831: a notebook's checkpoints."""
    write_folder(tmp_path)
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    Image.fromarray(SMOOTH).save(tmp_path / "train" / ".ipynb_checkpoints" / "0.png")
    assert read_image_folder(tmp_path).class_names == ["ant", "bee"]
    assert count_images(tmp_path, "train", None) == 4


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def test_unicode_forms_of_a_class_are_one_class(tmp_path, capsys):
    write_folder(tmp_path, classes=("bee", COMPOSED))
    (tmp_path / "test" / COMPOSED).rename(tmp_path / "test" / DECOMPOSED)
    data = read_image_folder(tmp_path)
    assert data.class_names == ["bee", COMPOSED]
    assert data.train_labels.tolist() == data.test_labels.tolist() == [0, 0, 1, 1]
    assert (tmp_path / data.test_names[3]).is_file()  # as it is on disk
    assert main(["duplicates", str(tmp_path), "-o", str(tmp_path / "pairs.csv")]) == 0
    assert "different labels" not in capsys.readouterr().out


@pytest.mark.parametrize("where", ["train", f"train/{COMPOSED}"])
def test_both_unicode_forms_side_by_side_are_refused(tmp_path, where):
    write_folder(tmp_path, classes=("bee", COMPOSED))
    place = tmp_path / where
    if where == "train":
        (place / DECOMPOSED).mkdir()
        Image.fromarray(SMOOTH).save(place / DECOMPOSED / "0.png")
    else:
        for name in (COMPOSED, DECOMPOSED):
            Image.fromarray(SMOOTH).save(place / f"{name}.png")
    with pytest.raises(AuditError, match=r"one name in two Unicode normal forms") as caught:
        read_image_folder(tmp_path)
    assert r"caf\xe9" in str(caught.value) and r"cafe\u0301" in str(caught.value)


def test_home_and_links_in_paths(tmp_path, monkeypatch):
    write_folder(tmp_path / "elsewhere")
    (tmp_path / "home" / "photos").mkdir(parents=True)
    for side in ("train", "test"):
        (tmp_path / "home" / "photos" / side).mkdir()
        for name in ("ant", "bee"):
            link = tmp_path / "home" / "photos" / side / name
            link.symlink_to(tmp_path / "elsewhere" / side / name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert read_image_folder("~/photos").train_names[0] == "train/ant/0.png"
    assert len(read_sides("~/photos")) == 2 and count_images("~/photos", "train", 1) == 2
    with pytest.raises(AuditError, match="~nobody-of-this-name/photos/train: directory not found"):
        read_image_folder("~nobody-of-this-name/photos")


def test_loops_and_pipes_are_named(tmp_path):
    write_folder(tmp_path)
    loop, pipe = tmp_path / "train" / "ant" / "loop", tmp_path / "train" / "ant" / "pipe"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    with pytest.raises(AuditError, match=r"loop: a broken link(?s:.*)pipe: not a file"):
        read_image_folder(tmp_path)


def test_names_that_a_terminal_cannot_show(tmp_path, monkeypatch):
    write_folder(tmp_path, each=4, classes=("two\nlines", "\x1b[31mred", "日本"))
    for side, number in (("train", 0), ("test", 0)):
        Image.fromarray(SMOOTH).save(tmp_path / side / "日本" / f"猫\u202e{number}.png")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    err = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    for command in ("duplicates", "init"):
        status = main([command, str(tmp_path), "-o", str(tmp_path / command)])
        assert status == 0
    out.flush()
    written = out.buffer.getvalue().decode("ascii")
    assert r"two\nlines" in written and "\\x1b[31mred" in written and r"\u65e5\u672c" in written
    assert "\x1b" not in written


def test_printable_names():
    assert printable("a\tb\u202ec\x9b") == "a\\tb\\u202ec\\x9b"
    assert printable("日本 é 👩\u200d🔬") == "日本 é 👩\u200d🔬"


def test_names_in_another_locale_are_not_called_invalid(tmp_path):
    write_folder(tmp_path / "images", classes=("ant", "é"), each=1)
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = (
        "import sys\nfrom pathlib import Path\nfrom memaudit.data.image_folder import class_files\n"
        "faults = []\nclass_files(Path('images/train'), faults)\nprint(ascii(faults))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert "Python reads names as ascii in this locale; set PYTHONUTF8=1" in done.stdout, done
