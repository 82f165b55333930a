"""Files are complete or absent; damaged files and other files are rejected on reading."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import tracemalloc

import h5py
import numpy as np
import pytest

from memaudit import bits, store
from memaudit.data.dataset import load, save
from memaudit.errors import AuditError


@pytest.fixture
def path(tmp_path, small_dataset):
    save(small_dataset, tmp_path / "data.h5")
    return tmp_path / "data.h5"


def test_a_dataset_survives_the_round_trip(path, small_dataset):
    again = load(path)
    assert again.digest() == small_dataset.digest()
    assert again.class_names == small_dataset.class_names
    for name, values in small_dataset.planted.items():
        assert np.array_equal(again.planted[name], values), name


def test_a_failure_keeps_the_old_file_and_leaves_no_other(path, small_dataset):
    before = path.read_bytes()
    with pytest.raises(RuntimeError), store.create(path, store.DATASET, {}) as out:
        out.add("class_names", ["a", "b"])
        raise RuntimeError
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["data.h5"]


def test_a_full_disk_is_explained(tmp_path):
    def no_space():
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(AuditError, match=r"result\.csv.*No space left"),
        store.atomic_write(tmp_path / "result.csv") as temporary,
    ):
        temporary.write_text("half")
        no_space()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_names_the_command_that_rebuilds_it(tmp_path):
    with pytest.raises(AuditError, match=r"file not found.*snakemake"):
        load(tmp_path / "none.h5")


def test_a_truncated_file_is_detected(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AuditError, match=r"data\.h5: damaged"):
        load(path)


def test_a_flipped_bit_is_detected(path):
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 200).astype(int):
        content = bytearray(whole)
        content[place] ^= 4
        path.write_bytes(content)
        with pytest.raises(AuditError, match=r"data\.h5: damaged"):
            load(path)


def test_a_file_written_by_other_programs_needs_no_checksum(path, small_dataset):
    with h5py.File(path) as ours, h5py.File(path.with_name("theirs.h5"), "w") as theirs:
        for name in ours:
            ours.copy(name, theirs)
    assert load(path.with_name("theirs.h5")).digest() == small_dataset.digest()


def test_other_files_are_rejected(path, tmp_path):
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(AuditError, match=r"text\.h5: damaged or of another kind"):
        load(tmp_path / "text.h5")
    with (
        pytest.raises(AuditError, match="of another kind"),
        store.reading(path, store.SHARD),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.__delitem__("train/labels"), "no dataset 'train/labels'"),
        (lambda file: replace(file, "train/labels", np.zeros(3, np.int64)), "n_train"),
        (lambda file: replace(file, "train/labels", np.zeros(39, np.int32)), "int32"),
        (lambda file: replace(file, "test/images", np.zeros((2, 8, 8), np.uint8)), "shape"),
        (lambda file: file.create_dataset("extra", data=1), "extra is not a field"),
    ],
)
def test_files_that_violate_the_contract_are_rejected(path, change, message):
    with h5py.File(path, "r+") as file:
        change(file)
    path.write_bytes(path.read_bytes()[store.SEAL_BYTES :])  # a file made by other means
    with pytest.raises(AuditError, match=message):
        load(path)


def replace(file, name, values):
    del file[name]
    file[name] = values


def test_bits_survive_the_round_trip(rng):
    flags = rng.random((5, 77)) < 0.5
    assert np.array_equal(bits.unpack(bits.pack(flags), 77), flags)


# --- files too large for memory -------------------------------------------------------------------

SMALL = {"train_labels": np.arange(40), "n_in": np.arange(40), "n_out": np.arange(40)}
SMALL |= {"test_labels": np.arange(50), "test_right": np.arange(50)}


def large(path, rows, shape=(40, 50)):
    """Write a file of all pairs from blocks of rows."""
    with store.create_large(
        path, store.ALL_PAIRS, {"models": 7}, SMALL, {"influence": shape}
    ) as add:
        for some in rows:
            add(some)


def test_a_large_file_is_read_like_any_other(tmp_path, rng):
    values = rng.random((40, 50)).astype(np.float32)
    path = tmp_path / "new" / "pairs.h5"
    large(path, np.split(values, [1, 17]))
    with store.reading(path, store.ALL_PAIRS) as file:
        assert np.array_equal(file["influence"][:], values)
        assert np.array_equal(file["test_right"][:], np.arange(50))
        assert file["influence"].attrs["unit"]
        assert file.attrs["models"] == 7
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 50).astype(int):
        content = bytearray(whole)
        content[place] ^= 4
        path.write_bytes(content)
        with (
            pytest.raises(AuditError, match=r"pairs\.h5: damaged"),
            store.reading(path, store.ALL_PAIRS),
        ):
            pass


@pytest.mark.parametrize(
    "rows",
    [
        [np.zeros((39, 50))],
        [np.zeros((40, 50)), np.zeros((1, 50))],
        [np.zeros((40, 49))],
    ],
)
def test_a_large_file_with_wrong_rows_is_not_written(tmp_path, rows):
    with pytest.raises(ValueError, match="influence"):
        large(tmp_path / "pairs.h5", rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("reserves", [True, False])
def test_too_small_a_disk_for_a_large_file_fails_early(tmp_path, monkeypatch, reserves):
    """It fails before the first row if the file system can reserve space."""
    if not reserves:
        monkeypatch.delattr(os, "posix_fallocate")
    large(tmp_path / "pairs.h5", [np.ones((40, 50))])
    before, asked = (tmp_path / "pairs.h5").read_bytes(), []

    def rows():
        for number in range(40):
            asked.append(number)
            yield np.full((1, 50), number)

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - 1000, old[1]))
    try:
        with pytest.raises(AuditError, match=r"pairs\.h5: could not be written \(File too large\)"):
            large(tmp_path / "pairs.h5", rows())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert bool(asked) != reserves
    assert (tmp_path / "pairs.h5").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_remains_of_a_killed_writer_are_removed_by_the_next(tmp_path):
    code = f"""
        import os, signal
        import numpy as np
        from memaudit import store
        small = {{"train_labels": np.arange(40), "n_in": np.arange(40), "n_out": np.arange(40)}}
        small |= {{"test_labels": np.arange(50), "test_right": np.arange(50)}}
        with store.create_large(
            {str(tmp_path / "pairs.h5")!r}, store.ALL_PAIRS, {{}}, small, {{"influence": (40, 50)}}
        ) as add:
            add(np.zeros((20, 50)))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".pairs.h5.")
    large(tmp_path / "pairs.h5", [np.ones((40, 50))])
    assert [p.name for p in tmp_path.iterdir()] == ["pairs.h5"]


def test_a_large_file_needs_little_memory(tmp_path):
    shape = (40, 500_000)  # 80 MB
    small = SMALL | {"test_labels": np.arange(shape[1]), "test_right": np.arange(shape[1])}
    row = np.ones((1, shape[1]), dtype=np.float32)
    tracemalloc.start()
    try:
        with store.create_large(
            tmp_path / "pairs.h5", store.ALL_PAIRS, {}, small, {"influence": shape}
        ) as add:
            tracemalloc.reset_peak()
            for _ in range(shape[0]):
                add(row)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "pairs.h5").stat().st_size > 80e6
    assert peak < 20e6
