"""Files are whole or absent, and what is damaged or foreign is found when it is read."""

import h5py
import numpy as np
import pytest

from memaudit import store
from memaudit.data.dataset import load, save
from memaudit.errors import AuditError


@pytest.fixture
def path(tmp_path, small_dataset):
    save(small_dataset, tmp_path / "data.h5")
    return tmp_path / "data.h5"


def test_a_dataset_comes_back_as_it_was(path, small_dataset):
    again = load(path)
    assert again.digest() == small_dataset.digest()
    assert again.class_names == small_dataset.class_names
    for name, values in small_dataset.planted.items():
        assert np.array_equal(again.planted[name], values), name


def test_a_failure_leaves_the_old_file_and_no_other(path, small_dataset):
    before = path.read_bytes()
    with pytest.raises(RuntimeError), store.create(path, store.DATASET, {}) as out:
        out.add("class_names", ["a", "b"])
        raise RuntimeError
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["data.h5"]


def test_a_full_disk_is_an_error_in_words(tmp_path):
    def no_space():
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(AuditError, match=r"result\.csv.*No space left"),
        store.whole(tmp_path / "result.csv") as temporary,
    ):
        temporary.write_text("half")
        no_space()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_names_the_command(tmp_path):
    with pytest.raises(AuditError, match=r"no such file.*snakemake"):
        load(tmp_path / "none.h5")


def test_a_truncated_file_is_found(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AuditError, match=r"data\.h5: damaged"):
        load(path)


def test_a_flipped_bit_is_found(path):
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 200).astype(int):
        content = bytearray(whole)
        content[place] ^= 4
        path.write_bytes(content)
        with pytest.raises(AuditError, match=r"data\.h5: damaged"):
            load(path)


def test_a_file_made_by_other_means_needs_no_checksum(path, small_dataset):
    with h5py.File(path) as ours, h5py.File(path.with_name("theirs.h5"), "w") as theirs:
        for name in ours:
            ours.copy(name, theirs)
    assert load(path.with_name("theirs.h5")).digest() == small_dataset.digest()


def test_a_foreign_file_is_found(path, tmp_path):
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(AuditError, match=r"text\.h5: damaged or not"):
        load(tmp_path / "text.h5")
    with (
        pytest.raises(AuditError, match="not a file of this kind"),
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
def test_files_that_break_the_contract_are_found(path, change, message):
    with h5py.File(path, "r+") as file:
        change(file)
    path.write_bytes(path.read_bytes()[store.SEAL_BYTES :])  # a file made by other means
    with pytest.raises(AuditError, match=message):
        load(path)


def replace(file, name, values):
    del file[name]
    file[name] = values


def test_bits_go_there_and_back(rng):
    flags = rng.random((5, 77)) < 0.5
    assert np.array_equal(store.unpack(store.pack(flags), 77), flags)
