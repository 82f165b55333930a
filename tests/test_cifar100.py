"""The published study of CIFAR-100: its page follows from the files in docs/cifar100."""

import csv
import importlib.util
import re
import shutil
import sys
from collections import Counter, defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import ROOT

from memaudit import bits
from memaudit.errors import AuditError
from memaudit.models import shards
from memaudit.models.identity import model_identity
from memaudit.models.recipe import Recipe
from memaudit.models.removals import read_examples
from memaudit.published.annotation import CIFAR100_DIGEST
from memaudit.study.study import Study

sys.path.append(str(ROOT / "benchmarks/cifar100"))
import copies
import examples
import page
import studies

FOLDER = studies.FOLDER
UNQUOTED = {("docs/explanation.md", "gpu", "weight_decay")}


def publish(kind, study, source, output, lists=FOLDER):
    found = page.checked_findings(study, source, output, lists)
    page.write_page(kind, study, source, output, **found)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_judged_groups_are_those_of_the_published_pairs():
    annotations = ROOT / "data/annotations"
    influencing = defaultdict(list)
    for row in rows(annotations / "cifar100_fz_pairs.csv"):
        influencing[int(row["test"])].append(int(row["train"]))
    shared = {test: sorted(found) for test, found in influencing.items() if len(found) > 1}
    judged = rows(annotations / "cifar100_subpopulations.csv")
    assert {int(r["test"]): [*map(int, r["train"].split())] for r in judged} == shared
    for row in judged:
        readings = {row["reading_a"], row["reading_b"]}
        assert readings | {row["final"]} <= set(examples.WORDS)
        assert len(readings) > 1 or row["final"] in readings
    assert Counter(r["final"] for r in judged) == {"alike": 83, "partly": 26, "not_alike": 5}
    text = " ".join((annotations / "README.md").read_text().split())
    agree = sum(row["reading_a"] == row["reading_b"] for row in judged)
    assert f"agree for {agree} of the {len(judged)} groups ({agree / len(judged):.1%}," in text
    kappa = examples.kappa(*(np.array([r[f"reading_{name}"] for r in judged]) for name in "ab"))
    assert f"Cohen's kappa {kappa:.2f} over" in text
    pairs = rows(annotations / "cifar100_fz_pairs.csv")
    duplicates = {(r["train"], r["test"]) for r in pairs if r["final"] in ("exact", "near")}
    found = Counter(
        (row["final"], any((train, row["test"]) in duplicates for train in row["train"].split()))
        for row in judged
    )
    without = sum(n for (_, has_duplicate), n in found.items() if not has_duplicate)
    for words in (
        f"{found['alike', True]} of the 83 contain a training image that is a duplicate",
        f"as do {found['partly', True]} of the 26. Of the {without} groups without a duplicate, "
        f"{found['alike', False]} are alike ({found['alike', False] / without:.1%})",
    ):
        assert words in text
    assert found["not_alike", True] == 0
    assert "No person has checked" in text


def test_the_buckets_are_those_of_the_annotation_and_the_finder():
    buckets = rows(FOLDER / "buckets.csv")
    assert len(buckets) == 964
    reasons = Counter(row["reason"] for row in buckets)
    assert reasons["exact"] + reasons["near"] + reasons["scene"] == 260
    assert Counter(row["bucket"] for row in buckets) == {"leakage_shift": 457, "memorized": 507}


@pytest.mark.parametrize("kind", studies.STUDIES)
def test_the_page_and_its_tables_follow_from_the_committed_files(tmp_path, kind):
    """Digit for digit; figures are redrawn but not compared."""
    folder = studies.STUDIES[kind]
    publish(kind, studies.the_study(kind), folder, tmp_path)
    written = [path for path in tmp_path.iterdir() if path.suffix in (".csv", ".md")]
    assert "README.md" in {path.name for path in written}
    for path in written:
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name
    computed = {path.name for path in tmp_path.iterdir()} | {page.TRIED[kind]}
    computed |= {*examples.COPIED, examples.MEMORIZED} if kind == "gpu" else set()
    committed = {path.name for path in folder.iterdir() if path.is_file()}
    assert committed <= computed, "a file that nothing computes"


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A study of two arms, and a function that adds the model of an arm."""
    study = SimpleNamespace(
        arms=[("original", "none"), ("original", "selected")],
        config=SimpleNamespace(trials=3, training=SimpleNamespace(device="cpu")),
    )

    def add(arm, trial, device, folder=tmp_path / "docs"):
        path = studies.shard(folder, study.arms[arm], trial)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(device)
        return path

    class Opened:
        def __init__(self, path):
            self.attrs = {"device": path.read_text()}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(studies, "reading_shard", Opened)
    return SimpleNamespace(study=study, add=add, folder=tmp_path / "docs")


@pytest.mark.parametrize("path", ["README.md", "docs/explanation.md"])
def test_what_other_pages_quote_is_what_the_tables_say(path):
    """The excess drops that both quote by hand, and the number of trials behind them."""
    text = " ".join((ROOT / path).read_text().split())
    for kind, folder in studies.STUDIES.items():
        for recipe in ("weight_decay", "original"):
            line = next(
                line
                for line in (folder / "table2.md").read_text().splitlines()
                if f"| {recipe} | selected | 964 |" in line
            )
            drop, ci = re.search(r"\| (\S+) (\(\S+ to \S+\)) \| [a-z ,]+ \|", line).groups()
            if (path, kind, recipe) not in UNQUOTED:
                assert f"{drop} pp" in text and ci[1:-1] in text
        trials = int(rows(folder / "table2.csv")[0]["n_models_full"])
        of = f"{trials} of 12 trials" if trials < 12 else "12 trials"
        assert re.search(rf"\b{of}[,)]", text)


def test_a_trial_counts_once_all_arms_are_trained_on_one_type_of_processor(trained):
    assert studies.complete_trials(trained.study, trained.folder) == 0
    for arm in range(2):
        trained.add(arm, 0, "CPU (A)")
    trained.add(0, 1, "CPU (B)")
    assert studies.complete_trials(trained.study, trained.folder) == 1
    trained.add(1, 1, "CPU (A)")
    with pytest.raises(SystemExit, match=r"trial 1 are from CPU \(.\) and CPU \(.\)"):
        studies.complete_trials(trained.study, trained.folder)


def test_models_of_an_incomplete_trial_from_another_processor_are_not_restored(trained, tmp_path):
    from torch import device

    from memaudit.models.device import describe

    for arm in range(2):
        trained.add(arm, 0, "CPU (another)")
    trained.add(1, 1, describe(device("cpu")))
    trained.add(0, 2, "CPU (another)")
    copies.restore(trained.study, trained.folder, tmp_path / "results")
    found = sorted(
        str(p.relative_to(tmp_path / "results/models/original"))
        for p in (tmp_path / "results").rglob("*.h5")
    )
    assert found == [
        "none/000000-000000.h5",
        "selected/000000-000000.h5",
        "selected/000001-000001.h5",
    ]


def invented(folder, trials):
    """Write models that guess, of all arms and so many trials, beside the committed lists."""
    for name in (*examples.COPIED, examples.MEMORIZED):
        shutil.copyfile(FOLDER / name, folder / name)
    shutil.copytree(FOLDER / "removals", folder / "removals")
    given = yaml.safe_load(studies.config("cpu").read_text()) | {"statistics": {"bootstrap": 200}}
    study = Study(given)
    rng = np.random.default_rng(0)
    for trial in range(trials):
        for recipe, removal in study.arms:
            listed = folder / f"removals/{removal.removeprefix('random_')}.txt"
            removed = read_examples(listed) if removal != "none" else []
            mask = np.ones(studies.N_TRAIN, dtype=bool)
            mask[removed] = False
            if removal.startswith("random_"):
                mask = rng.permutation(mask)
            settings = Recipe.of(study.recipes[recipe])
            epochs = np.full(settings.epochs, 0.5, dtype=np.float32)
            row = {
                "trial": np.int64(trial),
                "train_mask": bits.pack(mask),
                "train_correct": bits.pack(rng.random(studies.N_TRAIN) < 0.7),
                "test_correct": bits.pack(rng.random(studies.N_TEST) < 0.6),
                **dict.fromkeys(("rate", "loss", "train_accuracy", "test_accuracy"), epochs),
                "seconds": np.float64(300),
            }
            identity = model_identity(settings, seed=0, dataset=CIFAR100_DIGEST)
            attributes = {
                "identity": identity,
                "removal": removal,
                "n_train": studies.N_TRAIN,
                "n_test": studies.N_TEST,
                "device": "CPU (invented), one thread",
                "python": "3",
                "torch": "2",
            }
            shards.write_shard(studies.shard(folder, (recipe, removal), trial), attributes, [row])
    return study


@pytest.mark.parametrize("trials", [1, 2])
def test_the_page_with_few_trials(tmp_path, trials):
    """One trial has no CI and judges no claim; the page says so. Two have."""
    study = invented(tmp_path, trials)
    publish("cpu", study, tmp_path, tmp_path, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert f"**Preliminary: {trials} of 12 trials.**" in text
    assert ("gives no CI and no test" in text) == (trials == 1)
    table = rows(tmp_path / "table2.csv")
    assert [row["drop_low"] == "" for row in table] == [trials == 1] * 8
    assert [int(row["n_removed"]) for row in table] == 2 * [964, 964, 457, 507]
    influenced = rows(tmp_path / "affected_summary.csv")
    assert influenced[0]["influenced"] == "888"
    for row in influenced:
        parts = float(row["drop_influenced"]) + float(row["drop_rest"])
        assert parts == pytest.approx(float(row["drop"]), abs=2e-4)
    assert not re.search(r"\bnan\b", text)


def test_a_page_of_more_trials_is_not_replaced(tmp_path):
    study = invented(tmp_path, 1)
    publish("cpu", study, tmp_path, tmp_path, tmp_path)
    before = (tmp_path / "README.md").read_text()
    studies.shard(tmp_path, study.arms[3], 0).unlink()
    lacking = re.escape("/".join(study.arms[3]))
    with pytest.raises(SystemExit, match=f"has 1 trials, but only 0 .* missing: .*{lacking}"):
        publish("cpu", study, tmp_path, tmp_path, tmp_path)
    assert (tmp_path / "README.md").read_text() == before


def test_models_are_collected_once_all_are_checked(tmp_path):
    """Nothing is copied if one is of another arm, or differs from a published one."""
    (tmp_path / "results").mkdir()
    study, docs = invented(tmp_path / "results", 1), tmp_path / "docs"
    with pytest.raises(SystemExit, match="no trained models"):
        copies.collect(study, tmp_path, docs)
    one, other = (studies.shard(tmp_path / "results", study.arms[k], 0) for k in (1, 2))
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    with pytest.raises(AuditError, match="do not belong to this study: removal"):
        copies.collect(study, tmp_path / "results", docs)
    assert not docs.exists()
    one.write_bytes(kept)
    copies.collect(study, tmp_path / "results", docs)
    collected = sorted(path.name for path in docs.rglob("*.h5"))
    assert collected == ["000000-000000.h5"] * len(study.arms)
    published = studies.shard(docs, study.arms[1], 0)
    published.write_bytes(other.read_bytes())
    with pytest.raises(SystemExit, match="differs from the published model"):
        copies.collect(study, tmp_path / "results", docs)
    assert published.read_bytes() == other.read_bytes()


def test_no_list_is_copied_without_the_published_memorization(tmp_path, monkeypatch):
    study = invented(tmp_path, 0)
    monkeypatch.setattr(copies, "ROOT", tmp_path)
    monkeypatch.setattr(copies, "FOLDER", tmp_path / "docs")
    with pytest.raises(SystemExit, match="cannot be read"):
        copies.collect_lists(study, tmp_path)
    assert not (tmp_path / "docs").exists()


def test_lists_that_contradict_each_other_are_refused(tmp_path):
    study = invented(tmp_path, 0)
    leaks = tmp_path / "leaks.csv"
    buckets = rows(tmp_path / "buckets.csv")
    example = next(row["example"] for row in buckets if row["reason"] == "exact")
    lines = leaks.read_text().splitlines(keepends=True)
    column = lines[0].strip().split(",").index("train")
    leaks.write_text("".join(line for line in lines if line.split(",")[column] != example))
    with pytest.raises(SystemExit, match=rf"contradict each other: \[{example}\]"):
        publish("cpu", study, tmp_path, tmp_path, tmp_path)


def test_a_damaged_committed_model_is_restored_by_git():
    path = studies.FOLDER / "models/original/none/000000-000000.h5"
    error = AuditError(f"{path}: damaged. Unless you have a copy, 1 model will be trained again.")
    spec = importlib.util.spec_from_file_location(
        "command", studies.ROOT / "benchmarks/cifar100/__main__.py"
    )
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    restored = f"{path}: damaged. Restore the committed file: git checkout -- {path}"
    assert command.explained(error) == restored
    assert command.explained(AuditError("elsewhere")) == "elsewhere"


def test_a_removal_list_that_does_not_follow_from_the_buckets_is_refused(tmp_path):
    study = invented(tmp_path, 0)
    listed = tmp_path / "removals/memorized.txt"
    listed.write_text(listed.read_text().split("\n", 1)[1])
    with pytest.raises(SystemExit, match=r"memorized\.txt does not follow from buckets\.csv"):
        publish("cpu", study, tmp_path, tmp_path, tmp_path)
