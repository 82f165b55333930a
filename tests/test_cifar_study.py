"""The CIFAR-100 study at toy scale: archive, published pairs, ciFAIR's duplicates, Table 2."""

import csv
import hashlib

import numpy as np
import pytest
import yaml
from conftest import Study
from published_files import cifair_file
from test_cifar import Files

from memaudit import tables
from memaudit.data.cifar import read_cifar

TRAIN, TEST = 300, 200


def source(path):
    """An entry of data/sources.yaml for a file that is found in the mirror."""
    content = path.read_bytes()
    return {
        "file": path.name,
        "urls": ["http://localhost:9/nowhere"],
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "md5": None,
        **dict.fromkeys(("licence", "citation", "use", "checked"), "made here"),
    }


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """A folder with files of the published forms, and the images they are about."""
    folder = tmp_path_factory.mktemp("mirror")
    rng = np.random.default_rng(0)
    parts = {
        name: (
            rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
            np.stack([rng.integers(0, n, count, dtype=np.uint8) for n in (20, 100)], axis=1),
        )
        for name, count in (("train", TRAIN), ("test", TEST))
    }
    files = Files("cifar100", "binary", parts)
    files.archive = "cifar-100-binary.tar.gz"
    data = read_cifar("cifar100", files.pack(folder), files.sources)
    (folder / "members.yaml").write_text(yaml.safe_dump(files.sources["cifar100"].members))
    same = data.train_labels[:, None] == data.test_labels
    pairs = np.argwhere(same)[:: same.sum() // 60]
    memorization = rng.uniform(0.25, 1, TRAIN)
    np.save(folder / "memorization.npy", memorization)
    np.savez(
        folder / "pairs.npz",
        tr_idx=pairs[:, 0],
        tt_idx=pairs[:, 1],
        infl=np.full(len(pairs), 0.3),
        mem=memorization[pairs[:, 0]],
    )
    # ciFAIR judges the first pair near, the second very similar
    rows = [(test, train, word) for (train, test), word in zip(pairs[:2], (1, 2), strict=True)]
    cifair_file(folder / "cifair.csv", rows)
    blocks = {"tr_labels": data.train_labels, "tt_labels": data.test_labels}
    blocks["tr_mem"] = rng.random(TRAIN)
    for label in np.unique(data.train_labels):
        train, test = (np.flatnonzero(x == label) for x in (data.train_labels, data.test_labels))
        blocks[f"tr_classidx_{label}"], blocks[f"tt_classidx_{label}"] = train, test
        blocks[f"infl_matrix_class{label}"] = rng.random((len(train), len(test)))
    np.savez(folder / "matrix.npz", **blocks)
    for run in range(20):
        keep = np.sort(rng.permutation(TRAIN)[: TRAIN * 7 // 10])
        left = np.setdiff1d(np.arange(TRAIN), keep)
        (folder / f"runs/{run}").mkdir(parents=True)
        np.savez(
            folder / f"runs/{run}/aux_arrays.npz",
            subsample_idx=keep,
            index_train=keep,
            index_removed=left,
            index_test=np.arange(TEST),
            correctness_train=np.ones(len(keep)),
            correctness_removed=rng.integers(0, 2, len(left)),
            correctness_test=rng.integers(0, 2, TEST),
        )
    return folder


def cifar_study(folder, mirror, **memorization):
    """A study of the toy CIFAR-100, its remote files in the mirror."""
    study = Study(folder)
    study.config["dataset"] = {"kind": "cifar100", "name": "toy100"}
    study.config["memorization"] = {"source": "published", **memorization}
    study.config["duplicates"] = {"cifair": ["exact", "near"], "embedding": "classical"}
    study.config["trials"] = 2
    for recipe in study.config["recipes"].values():
        recipe["epochs"] = 2
    (folder / "data").mkdir()
    files = {"cifar100": "cifar-100-binary.tar.gz", "fz_pairs": "pairs.npz"}
    files |= {"cifair100": "cifair.csv", "fz_matrix": "matrix.npz"}
    files["fz_memorization"] = "memorization.npy"
    sources = {name: source(mirror / file) for name, file in files.items()}
    sources["cifar100"]["members"] = yaml.safe_load((mirror / "members.yaml").read_text())
    (folder / "data/sources.yaml").write_text(yaml.safe_dump(sources))
    return study


@pytest.fixture(autouse=True, scope="module")
def mirror_is_named(mirror):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMAUDIT_MIRROR", str(mirror))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, mirror, mirror_is_named):
    """The toy study, run to its end with the resident loader."""
    study = cifar_study(tmp_path_factory.mktemp("toy"), mirror)
    study.config["training"]["loader"] = "resident"
    study.snakemake()
    return study


def buckets(study):
    with open(study.results / "buckets.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_planned_jobs(tmp_path, mirror):
    planned = cifar_study(tmp_path, mirror).planned("results/small/table2.csv")
    assert planned["fetch"] == 3
    assert planned["train"] == 10
    assert "scores" not in planned


def test_table_2_from_published_examples(finished, mirror):
    with np.load(mirror / "pairs.npz") as pairs:
        selected = sorted(set(pairs["tr_idx"].tolist()))
        first, second = pairs["tr_idx"][:2].tolist()
    rows = buckets(finished)
    assert [int(row["example"]) for row in rows] == selected
    judged = {int(row["example"]): row for row in rows}
    assert judged[first]["reason"] == "near"
    assert judged[first]["decided_by"] == "published annotation"
    assert judged[second]["reason"] != "near"
    with open(finished.results / "agreement.csv", newline="") as file:
        by_pair = next(csv.DictReader(file))
    assert by_pair == {"unit": "pairs", "both": "0", "only_cifair": "1", "only_finder": "0"}
    table = tables.read_texts(finished.results / "table2.csv")
    assert table[0]["n_removed"] == str(len(selected))
    assert len(table) == 8
    assert finished.planned() == {}


def test_ffcv_gives_the_same_table(tmp_path, mirror, finished):
    pytest.importorskip("ffcv")
    study = cifar_study(tmp_path, mirror)
    study.config["training"]["loader"] = "ffcv"
    study.snakemake("results/small/table2.csv")
    assert (study.folder / "data/toy100.beton").exists()
    assert not (finished.folder / "data/toy100.beton").exists()
    tables = [(s.results / "table2.csv").read_text() for s in (study, finished)]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("kind", ["published_matrix", "published_runs"])
def test_other_published_scores(tmp_path, mirror, kind):
    path = str(mirror / "runs") if kind == "published_runs" else None
    study = cifar_study(tmp_path, mirror, source=kind, path=path)
    study.config["selection"] = {"memorization": 0.25, "influence": 0.15, "z": 0}
    study.snakemake("results/small/buckets.csv")
    assert len(buckets(study)) > 10


def test_labels_in_another_order_are_reported(tmp_path, mirror):
    study = cifar_study(tmp_path, mirror)
    study.snakemake("data/pairs.npz")
    with np.load(mirror / "pairs.npz") as pairs:
        arrays = dict(pairs)
    arrays["tr_idx"] = (arrays["tr_idx"] + 1) % TRAIN
    np.savez(tmp_path / "data/pairs.npz", **arrays)
    sources = yaml.safe_load((tmp_path / "data/sources.yaml").read_text())
    sources["fz_pairs"] = source(tmp_path / "data/pairs.npz")
    (tmp_path / "data/sources.yaml").write_text(yaml.safe_dump(sources))
    done = study.snakemake("results/small/selected_pairs.csv", check=False)
    assert done.returncode != 0
    assert "not in CIFAR-100's original order" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_configuration_may_name_the_mirror(tmp_path, mirror, monkeypatch):
    study = cifar_study(tmp_path, mirror)
    monkeypatch.delenv("MEMAUDIT_MIRROR")
    study.config["mirror"] = str(mirror)
    study.snakemake("data/pairs.npz")
    assert (tmp_path / "data/pairs.npz").read_bytes() == (mirror / "pairs.npz").read_bytes()


def test_a_wrong_file_supplied_by_the_user_is_rejected(tmp_path, mirror):
    study = cifar_study(tmp_path, mirror)
    (tmp_path / "data/cifair.csv").write_text("TestID,TrainID,Distance,Judgment\n")
    done = study.snakemake("results/small/published_counts.csv", check=False)
    assert done.returncode != 0
    assert "data/cifair.csv: not the published file (expected" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (tmp_path / "data/cifair.csv").exists()


def test_the_error_without_network_and_mirror_states_the_remedy(tmp_path, mirror, monkeypatch):
    study = cifar_study(tmp_path, mirror)
    monkeypatch.delenv("MEMAUDIT_MIRROR")
    done = study.snakemake("data/cifar-100-binary.tar.gz", check=False)
    assert done.returncode != 0
    for part in ("http://localhost:9/nowhere", "data/cifar-100-binary.tar.gz", "MEMAUDIT_MIRROR"):
        assert part in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_plan_states_the_cost(tmp_path, mirror):
    study = cifar_study(tmp_path, mirror)
    text = study.snakemake("plan").stdout
    lines = [line.split() for line in text.splitlines()]
    assert ["weight_decay", "random_memorized"] in [line[:2] for line in lines]
    assert "stated rate" in text
    assert "Models needed per arm" in text
    assert "data/cifar-100-binary.tar.gz: to be downloaded" in text
    assert max(map(len, text.splitlines())) <= 100
    assert ["train", "10"] in [line.split() for line in text.splitlines()]
    assert not (study.results / "dataset.txt").exists()  # asking makes the folder nobody's


def test_a_run_of_days_stops_before_training(tmp_path, mirror):
    study = cifar_study(tmp_path, mirror)
    study.config["training"]["max_hours"] = 1e-6
    done = study.snakemake(check=False)
    assert done.returncode != 0
    assert "training.max_hours = 1e-06: this run would train" in done.stderr
    assert not study.results.exists() or not list(study.results.rglob("*.h5"))
