"""`memaudit scores`: arrays in, tables out."""

import csv

import numpy as np
import pytest

from memaudit import Scores
from memaudit.cli import main


@pytest.fixture
def arrays(rng):
    """40 models; they predict test example 0 correctly if trained on training example 0."""
    mask = rng.random((40, 6)) < 0.5
    test_correct = rng.random((40, 3)) < 0.5
    test_correct[:, 0] = mask[:, 0]
    return {
        "mask": mask,
        "train_correct": mask,
        "test_correct": test_correct,
        "train_labels": np.array([0, 0, 0, 1, 1, 1]),
        "test_labels": np.array([0, 0, 1]),
    }


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_tables_agree_with_the_library(arrays, tmp_path, capsys):
    np.savez(tmp_path / "arrays.npz", **arrays)
    out = tmp_path / "new" / "out"
    assert main(["scores", str(tmp_path / "arrays.npz"), "-o", str(out), "--hdf5"]) == 0
    scores = Scores.from_arrays(**arrays)
    rows = rows_of(out / "memorization.csv")
    found = np.array([float(row["memorization"]) for row in rows])
    assert found == pytest.approx(scores.memorization.value, abs=1e-5)
    assert [row["class"] for row in rows] == ["0"] * 3 + ["1"] * 3
    pairs = rows_of(out / "selected_pairs.csv")
    expected = [(str(pair.train), str(pair.test)) for pair in scores.select()]
    assert [(row["train"], row["test"]) for row in pairs] == expected and ("0", "0") in expected
    read = Scores.from_file(out / "scores.h5")
    assert np.array_equal(read.memorization.value, scores.memorization.value)
    assert "40 models, 6 training examples" in capsys.readouterr().out


def test_other_results_are_replaced_only_with_force(arrays, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["scores", str(tmp_path / "arrays.npz"), "-o", str(out)]

    def contents():
        return {path.name: path.read_bytes() for path in out.iterdir()}

    np.savez(tmp_path / "arrays.npz", **arrays)
    assert main([*command, "--hdf5"]) == 0
    first = contents()
    assert set(first) == {"memorization.csv", "selected_pairs.csv", "scores.h5"}
    assert main([*command, "--hdf5"]) == 0, "the same results"
    assert main([*command, "--influence=-1", "--z=0"]) == 1
    problem = "file exists and holds other results; use --force to overwrite it"
    assert f"{out / 'selected_pairs.csv'}: {problem}" in capsys.readouterr().err
    np.savez(tmp_path / "arrays.npz", **arrays | {"train_correct": ~arrays["mask"]})
    assert main([*command, "--hdf5"]) == 1
    assert f"{out / 'memorization.csv'}: {problem}" in capsys.readouterr().err
    assert contents() == first
    assert main([*command, "--force"]) == 0
    assert "scores.h5 in the output folder is of an earlier run" in capsys.readouterr().out
    assert main([*command, "--hdf5", "--force"]) == 0
    assert not first.items() & contents().items()


def test_examples_without_a_score_are_counted(arrays, tmp_path, capsys):
    mask = arrays["mask"].copy()
    mask[:, 0] = True
    np.savez(tmp_path / "arrays.npz", **{**arrays, "mask": mask})
    assert main(["scores", str(tmp_path / "arrays.npz"), "-o", str(tmp_path / "out")]) == 0
    assert "warning: 1 examples have no score: too few models" in capsys.readouterr().out


def test_arrays_that_are_not_used_are_named_and_contradictions_refused(arrays, tmp_path, capsys):
    command = ["scores", str(tmp_path / "arrays.npz"), "-o", str(tmp_path / "out")]
    np.savez(tmp_path / "arrays.npz", **arrays, test_margins=np.zeros(3))
    assert main(command) == 0
    assert "arrays that are not used: test_margins" in capsys.readouterr().out
    margin = np.where(arrays["test_correct"], 1.0, -1.0)
    margin[0], margin[1] = 0, -margin[1]
    right = arrays["test_correct"]
    for correct in (right, right.astype(np.uint8), np.packbits(right, axis=1)):
        given = arrays | {"test_correct": correct}
        np.savez(tmp_path / "arrays.npz", **given, test_margin=margin)
        assert main([*command, "--estimator", "difference"]) == 1
        problem = "test_margin and test_correct contradict each other in 3 of 120 predictions"
        assert problem in capsys.readouterr().err


def test_margins_are_scored_where_the_file_has_them(arrays, rng, tmp_path, capsys):
    margins = {
        f"{side}_margin": rng.gamma(2, size=correct.shape) * np.where(correct, 1, -1)
        for side, correct in (("train", arrays["mask"]), ("test", arrays["test_correct"]))
    }
    np.savez(tmp_path / "arrays.npz", **arrays, **margins)
    command = ["scores", str(tmp_path / "arrays.npz"), "--hdf5", "-o"]
    names = ("mask", "train_labels", "test_labels")
    found = {}
    for options, score in (([], "margins"), (["--estimator", "difference"], "difference")):
        assert main([*command, str(tmp_path / score), *options]) == 0
        assert f"estimator {score}" in capsys.readouterr().out
        found[score] = Scores.from_file(tmp_path / score / "scores.h5")
    expected = Scores.from_margins(**margins, **{name: arrays[name] for name in names})
    plain = Scores.from_arrays(**arrays)
    for score, one in (("margins", expected), ("difference", plain)):
        assert found[score].memorization.value == pytest.approx(one.memorization.value, abs=1e-6)
    margins["test_margin"][3, 1] = np.nan
    np.savez(tmp_path / "arrays.npz", **arrays, **margins)
    assert main([*command, str(tmp_path / "margins")]) == 1
    assert "test_margin has nan (model 3, example 1)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"), [("memorization", "2"), ("influence", "nan"), ("z", "-1")]
)
def test_thresholds_out_of_range_are_refused(option, value, arrays, tmp_path, capsys):
    np.savez(tmp_path / "arrays.npz", **arrays)
    command = ["scores", str(tmp_path / "arrays.npz"), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main([*command, f"--{option}={value}"])
    assert f"argument --{option}: must be from" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_classes_without_overlap_are_reported(arrays, tmp_path, capsys):
    np.savez(tmp_path / "arrays.npz", **arrays | {"test_labels": np.array([5, 6, 7])})
    assert main(["scores", str(tmp_path / "arrays.npz"), "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "warning: no test example has the class" in printed
    assert "0 selected" not in printed


def test_errors_name_the_file_and_the_array(arrays, tmp_path, capsys):
    def error(file="arrays.npz"):
        assert main(["scores", str(tmp_path / file), "-o", str(tmp_path / "out")]) == 1
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "nowhere.npz: file not found" in error("nowhere.npz")
    (tmp_path / "text.npz").write_text("no array")
    text = error("text.npz")
    assert "text.npz: not an .npz file" in text and "allow_pickle" not in text
    (tmp_path / "empty.npz").touch()
    assert "empty.npz: not an .npz file" in error("empty.npz")
    np.save(tmp_path / "single.npy", arrays["mask"])
    assert "single.npy: not an .npz file but one array" in error("single.npy")
    np.savez(tmp_path / "arrays.npz", **{**arrays, "mask": arrays["mask"][:, :4]})
    assert "arrays.npz: mask" in error()
    np.savez(tmp_path / "arrays.npz", **{**arrays, "mask": np.array([None, 1], dtype=object)})
    assert "not an .npz file of plain arrays (an array of objects in it)" in error()
    del arrays["test_labels"]
    np.savez(tmp_path / "arrays.npz", **arrays)
    assert "no array 'test_labels'; needed: mask, " in error()
    np.savez(tmp_path / "arrays.npz", **arrays, train_margin=np.zeros((40, 6)))
    assert "no array 'test_labels'; needed: mask, train_labels, test_labels, train_m" in error()
    arrays["test_labels"] = np.zeros(3)
    np.savez(tmp_path / "arrays.npz", **arrays, test_margin=np.zeros((40, 3)))
    text = error()
    assert "no array 'train_margin'" in text and "or choose --estimator difference" in text


def test_the_output_is_a_folder(arrays, tmp_path, capsys):
    path = tmp_path / "arrays.npz"
    np.savez(path, **arrays)
    before = path.read_bytes()
    assert main(["scores", str(path), "-o", str(path)]) == 1
    assert "arrays.npz: this is a file; name a folder" in capsys.readouterr().err
    assert path.read_bytes() == before
