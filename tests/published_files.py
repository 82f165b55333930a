"""Small files of the published forms, and the real ones where they are found."""

import numpy as np
from conftest import ROOT, supplied

from memaudit.data.fetch import read_sources

ANNOTATION = ROOT / "data" / "annotations" / "cifar100_fz_pairs.csv"
TRAIN_LABELS = np.array([0, 1, 0, 1, 0, 1])
TEST_LABELS = np.array([0, 1, 0, 1])


def real(name):
    """The published file of a source, or the test is skipped."""
    return supplied(read_sources(ROOT / "data" / "sources.yaml")[name].file)


def pair_file(path, **changes):
    """Five pairs: training examples 0 and 2 share test example 0, 1 and 3 share test example 1."""
    arrays = {
        "tr_idx": np.array([2, 0, 1, 3, 4]),
        "tt_idx": np.array([0, 0, 1, 1, 2]),
        "infl": np.array([0.2, 0.3, 0.4, 0.5, 0.6]),
        "mem": np.array([0.5, 1.0, 0.25, 0.75, 0.5]),
    }
    arrays = {key: value for key, value in (arrays | changes).items() if value is not None}
    np.savez(path, **arrays)
    return path


def cifair_file(path, rows, header="TestID,TrainID,Distance,Judgment"):
    lines = [header, *(f"{test},{train},0.5,{judgment}" for test, train, judgment in rows)]
    path.write_text("".join(f"{line}\r\n" for line in lines), newline="")
    return path


def annotation_file(path, rows):
    """An annotation of pairs (train, test, judgment, near_kind)."""
    lines = ["train,test,judge_a,judge_b,final,near_kind"]
    lines += [f"{i},{j},{word},{word},{word},{kind}" for i, j, word, kind in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
