"""Recompute the tables, figures and pages of docs/cifar100 from its files, without any image.

    python benchmarks/cifar100.py                        # rewrite docs/cifar100
    python benchmarks/cifar100.py --study gpu --restore  # first copy its models to results/
    python benchmarks/cifar100.py --study gpu --collect  # first copy finished models from there

The two studies are config/cifar100-gpu.yaml (docs/cifar100) and config/cifar100-cpu.yaml
(docs/cifar100/cpu). Both remove the same examples; docs/cifar100 holds what these follow from. A
trial counts once every arm has its model; the models of a trial must be trained on one type of
processor. --restore leaves out models of incomplete trials from other processors than this one.
"""

import argparse
import itertools
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from memaudit import store, tables
from memaudit.buckets.assign import Assignment, removal_lists
from memaudit.buckets.leaks import Leak, leak_free
from memaudit.buckets.subpopulations import Member
from memaudit.data.cifar import CLASSES
from memaudit.models.removals import CONTROL, read_examples
from memaudit.models.shards import Origin, read_shards, reading_shard
from memaudit.published.annotation import CIFAR100_DIGEST
from memaudit.results import accuracies, affected, claims, curves, power, summary, table2
from memaudit.results.answer import answer
from memaudit.results.statistics import Arm, Estimate, accuracy_drop
from memaudit.scores.selection import Pair
from memaudit.study.study import Study
from memaudit.templates import render

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs/cifar100"
STUDIES = {"gpu": FOLDER, "cpu": FOLDER / "cpu"}
TRIED = {"gpu": "learning_rates_tried.csv", "cpu": "networks_tried.csv"}
JUDGED = ROOT / "data/annotations/cifar100_subpopulations.csv"
MEMORIZED = "memorized.npy"  # bits: F&Z's memorization reaches the threshold
INPUTS = ("selected_pairs.csv", "buckets.csv", "leaks.csv", "subpopulations.csv", MEMORIZED)
N_TRAIN, N_TEST = 50_000, 10_000
BY_FINDER = 118  # selected examples that the duplicate finder finds: docs/published_counts.md
WORDS = ("alike", "partly", "not_alike")


@dataclass(frozen=True)
class Judgment:
    """A group of the rule, judged by eye: a row of cifar100_subpopulations.csv."""

    test: int = tables.column("test example")
    train: tuple[int, ...] = tables.column("training examples that influence it")
    reading_a: str = tables.column("first reading")
    reading_b: str = tables.column("second reading")
    final: str = tables.column("the result")


@dataclass(frozen=True)
class Fit:
    """Mean accuracies of the models of a recipe on all examples, percent."""

    recipe: str
    models: int
    test: float
    influenced: float
    train: float
    selected: float


@dataclass(frozen=True)
class Parts:
    """The excess drop of an arm and what groups of test images contribute to it, pp.

    On the fixed test set; `rest` are all images that are not influenced. `leak_free` is the excess
    drop on the test images without a duplicate.
    """

    recipe: str
    removal: str
    all: Estimate
    influenced: Estimate
    rest: Estimate
    duplicated: Estimate
    leak_free: Estimate


@dataclass(frozen=True)
class Reach:
    """What the wanted trials can show of the memorized bucket, if its SD is the one measured.

    The smallest difference found with 80% power, pp, without and with Holm's first step; the
    probability of showing equivalence where nothing differs; the trials for 80% of that, None if no
    number is enough.
    """

    sd: float
    difference: tuple[float, float]
    equivalence: float
    trials: int | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--study", choices=STUDIES, help="one of the two; default: both")
    parser.add_argument("--restore", action="store_true")
    parser.add_argument("--collect", action="store_true")
    parser.add_argument("--results", type=Path, help="the results folder, if not the study's")
    given = parser.parse_args()
    for kind in [given.study] if given.study else STUDIES:
        study, folder = the_study(kind), STUDIES[kind]
        results = given.results or ROOT / study.results
        if given.restore:
            restore(study, folder, results)
        if given.collect:
            collect(study, results, folder)
        publish(kind, study, folder, folder)


def config(kind: str) -> Path:
    return ROOT / f"config/cifar100-{kind}.yaml"


def the_study(kind: str) -> Study:
    return Study(yaml.safe_load(config(kind).read_text(encoding="utf-8")))


def shard(folder: Path, arm: tuple[str, str], trial: int) -> Path:
    return folder / "models" / arm[0] / arm[1] / f"{trial:06d}-{trial:06d}.h5"


def processors(study: Study, folder: Path, trial: int) -> dict[Path, str]:
    """Return the processor that trained each model of a trial that there is."""
    found = {}
    for arm in study.arms:
        path = shard(folder, arm, trial)
        if path.exists():
            with reading_shard(path) as file:
                found[path] = str(file.attrs["device"])
    return found


def complete_trials(study: Study, folder: Path) -> int:
    """Return the number of trials, from 0, of which every arm has its model."""
    trial = 0
    while len(found := processors(study, folder, trial)) == len(study.arms):
        if len(kinds := set(found.values())) > 1:
            sys.exit(f"{folder}: the models of trial {trial} are from {' and '.join(kinds)}")
        trial += 1
    return trial


def restore(study: Study, source: Path, results: Path) -> None:
    """Copy the models that the next run takes over."""
    import torch

    from memaudit.models.device import describe

    on_gpu = study.config.training.device != "cpu" and torch.cuda.is_available()
    here = describe(torch.device("cuda" if on_gpu else "cpu"))
    complete = complete_trials(study, source)
    for trial in range(study.config.trials):
        for path, device in processors(study, source, trial).items():
            target = results / path.relative_to(source)
            if target.exists():
                continue
            if trial >= complete and device != here:
                print(f"left out {path}: trained on {device}, not on {here}")
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


def collect(study: Study, results: Path, folder: Path) -> None:
    """Copy finished models, and the files that the removals follow from."""
    for trial in range(study.config.trials):
        for path in processors(study, results, trial):
            target = folder / path.relative_to(results)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for name in INPUTS[:-1]:
        if (results / name).exists():
            shutil.copyfile(results / name, FOLDER / name)
    (FOLDER / "removals").mkdir(exist_ok=True)
    for path in sorted((results / "removals").glob("*.txt")):
        shutil.copyfile(path, FOLDER / "removals" / path.name)
    if (scores := ROOT / str(study.published_memorization)).exists():
        chosen = np.load(scores) >= study.config.selection.memorization
        np.save(FOLDER / MEMORIZED, np.packbits(chosen))


def publish(kind: str, study: Study, source: Path, output: Path, inputs: Path = FOLDER) -> None:
    """Write the tables, figures and page to `output`, from the models of `source`.

    `inputs` is the folder with the lists of examples.
    """
    trials = complete_trials(study, source)
    assignments = tables.read_rows(inputs / "buckets.csv", Assignment)
    leaks = tables.read_rows(inputs / "leaks.csv", Leak)
    members = tables.read_rows(inputs / "subpopulations.csv", Member)
    lists = {
        name: read_examples(inputs / f"removals/{name}.txt", N_TRAIN)
        for name in removal_lists(assignments)
    }
    for name, examples in removal_lists(assignments).items():
        if examples != lists[name].tolist():
            sys.exit(f"{inputs}: removals/{name}.txt does not follow from buckets.csv")
    pairs = tables.read_rows(inputs / "selected_pairs.csv", Pair)
    influenced = np.unique([pair.test for pair in pairs])
    found = tabulate(study, source, output, trials, lists, inputs) if trials else {}
    page = render(
        "cifar100.md",
        trials=trials,
        wanted=study.config.trials,
        arms=len(study.arms),
        extra=len(processors(study, source, trials)),
        recipes=study.settings["recipes"],
        fits=fits(study, source, lists, influenced, trials),
        both=len(np.setdiff1d(influenced, leak_free(leaks, N_TEST))),
        cpu_trials=complete_trials(the_study("cpu"), STUDIES["cpu"]),
        influenced=len(influenced),
        margin=study.config.statistics.margin,
        buckets=Counter(row.bucket for row in assignments),
        reasons=Counter(row.reason for row in assignments),
        memorization={
            bucket: float(np.mean([r.memorization for r in assignments if r.bucket == bucket]))
            for bucket in ("leakage_shift", "memorized")
        },
        leaked=N_TEST - len(leak_free(leaks, N_TEST)),
        kind=kind,
        tried=tables.read_texts(STUDIES[kind] / TRIED[kind]),
        groups=judged_groups(
            members, {leak.train for leak in leaks} & {*lists["selected"].tolist()}
        ),
        **found,
    )
    store.write_text(output / "README.md", page)


def tabulate(
    study: Study,
    source: Path,
    output: Path,
    trials: int,
    lists: dict[str, np.ndarray],
    inputs: Path,
) -> dict:
    """Write the tables and figures of the complete trials; return what the page quotes."""
    from memaudit.figures.affected import affected as draw_affected
    from memaudit.figures.curves import learning_curves
    from memaudit.figures.drops import drops

    settings = table2.Settings(
        **study.settings["statistics"], seed=study.config.seed, published=True
    )
    assignments = tables.read_rows(inputs / "buckets.csv", Assignment)
    leaks = tables.read_rows(inputs / "leaks.csv", Leak)
    pairs = tables.read_rows(inputs / "selected_pairs.csv", Pair)
    shards = {arm: [shard(source, arm, trial) for trial in range(trials)] for arm in study.arms}
    gathered = output / "accuracies.h5"
    accuracies.gather_accuracies(
        [
            (origin(study, recipe, removal, lists), recipe, trials, paths)
            for (recipe, removal), paths in shards.items()
        ],
        gathered,
    )
    clean = np.array(leak_free(leaks, N_TEST))
    rows = table2.table_rows(gathered, study.rows, N_TEST, settings, {"leak_free": clean})
    arms, removed = accuracies.read_arms(gathered, study.rows, N_TEST)
    with store.reading(gathered, store.ACCURACIES) as file:
        each = {arm: file["/".join(arm)]["test_accuracy"][:] for arm in study.arms}
    gathered.unlink()

    tables.write_rows(output / "table2.csv", table2.Table2Row, rows)
    sentences = answer(rows, settings.margin, study.config.memorization.source)
    table = table2.markdown(rows, study.name, sentences, settings.margin)
    store.write_text(output / "table2.md", table)
    drops(rows, output / "drops.png", each)

    bits = np.unpackbits(np.load(inputs / MEMORIZED), count=N_TRAIN)
    contrasts = table2.Contrasts(arms, removed, settings)
    judged = claims.judge(contrasts, assignments, leaks, np.flatnonzero(bits))
    tables.write_rows(output / "claims.csv", claims.Claim, judged)
    text = claims.markdown(judged, study.name, settings.margin, published=True)
    store.write_text(output / "claims.md", text)

    classes = [""] * N_TEST  # known for the influenced test examples, which are all that is read
    for pair in pairs:
        classes[pair.test] = CLASSES["cifar100"][pair.label]
    views = [affected.view(arms, row, pairs, assignments, classes) for row in study.paper_rows]
    summaries = [one for one, _, _ in views]
    tables.write_rows(output / "affected_summary.csv", affected.Summary, summaries)
    tables.write_rows(output / "groups.csv", affected.Group, [g for _, gs, _ in views for g in gs])
    examples = [example for _, _, found in views for example in found]
    tables.write_rows(output / "affected.csv", affected.Example, examples)
    draw_affected(
        [(one, found) for one, _, found in views], output / "affected.png", published=True
    )

    influenced = np.unique([pair.test for pair in pairs])
    duplicated, rest = (np.setdiff1d(np.arange(N_TEST), one) for one in (clean, influenced))
    parts = []
    for recipe, removal in study.paper_rows:
        control, reduced = arms[f"{recipe}/{CONTROL}{removal}"], arms[f"{recipe}/{removal}"]
        parts.append(
            Parts(
                recipe,
                removal,
                accuracy_drop(control, reduced),
                contribution(control, reduced, influenced),
                contribution(control, reduced, rest),
                contribution(control, reduced, duplicated),
                accuracy_drop(control.on(clean), reduced.on(clean)),
            )
        )

    learned = []
    for recipe, removal in study.full_arms:
        checked = origin(study, recipe, removal, lists)
        models = read_shards(shards[recipe, removal], range(trials), curves.FIELDS, checked)
        learned += curves.curve_rows(recipe, models)
    tables.write_rows(output / "learning_curves.csv", curves.CurveRow, learned)
    learning_curves(learned, output / "learning_curves.png")

    trained = [summary.trained(*arm, paths, N_TRAIN) for arm, paths in shards.items()]
    for figure in ("drops", "affected", "learning_curves"):
        (output / f"{figure}.svg").unlink(missing_ok=True)
    return {
        "answer": sentences,
        "table": summary.first_table(table),
        "claims": summary.first_table(text),
        "summaries": summaries,
        "parts": parts,
        "rows": rows,
        "judged": judged,
        "reach": reach(study, arms) if trials > 1 else None,
        "odds": odds(assignments, leaks, np.flatnonzero(bits)),
        "seconds": sum(part.seconds for part in trained),
        "models": sum(part.models for part in trained),
        "devices": sorted({part.device for part in trained}),
        "versions": shard_versions(path for paths in shards.values() for path in paths),
    }


def reach(study: Study, arms: dict[str, Arm]) -> Reach:
    """Return what all trials of the study can show of the memorized bucket."""
    control, reduced = (arms[f"weight_decay/{name}memorized"] for name in (CONTROL, ""))
    sd, wanted = accuracy_drop(control, reduced).sd, study.config.trials
    images, margin = power.images_of(control, reduced), study.config.statistics.margin

    def found(rows: int) -> float:
        steps = np.arange(1, 1000) / 100
        return next(d for d in steps if power.power(sd, wanted, d, images, rows) >= power.POWER)

    return Reach(
        sd,
        (found(1), found(len(study.paper_rows))),
        power.equivalence_power(sd, wanted, margin, N_TEST),
        power.models_for_equivalence(sd, margin, N_TEST),
    )


def odds(assignments: list[Assignment], leaks: list[Leak], memorized: np.ndarray) -> dict:
    """Return how often the finder finds duplicates of selected and of other memorized examples.

    Of those pairs of the others that ciFAIR lists, leaks.csv does not state what the finder found:
    hence the odds ratio with all of them and with none.
    """
    others = {*memorized.tolist()} - {row.example for row in assignments}
    by_finder = len({leak.train for leak in leaks if leak.decided_by == "rule"} & others)
    known = len({leak.train for leak in leaks} & others)
    selected = BY_FINDER / (len(assignments) - BY_FINDER)
    return {
        "by_finder": BY_FINDER,
        "others": len(others),
        "others_by_finder": by_finder,
        "others_known": known,
        "low": selected / (known / (len(others) - known)),
        "high": selected / (by_finder / (len(others) - by_finder)),
    }


def contribution(full: Arm, reduced: Arm, images: np.ndarray) -> Estimate:
    """Return what some images, int64 (images,), contribute to the drop on the whole test set."""
    found, share = accuracy_drop(full.on(images), reduced.on(images)), len(images) / N_TEST
    return Estimate(share * found.value, low=share * found.low, high=share * found.high)


def fits(
    study: Study, source: Path, lists: dict[str, np.ndarray], influenced: np.ndarray, trials: int
) -> list[Fit]:
    """Return the accuracies of models on all examples: of complete trials, if there are any."""
    found = []
    for recipe, removal in study.full_arms:
        paths = [
            shard(source, (recipe, removal), trial)
            for trial in range(trials or study.config.trials)
        ]
        paths = list(itertools.takewhile(Path.exists, paths))
        if not paths:
            continue
        fields = ["test_correct", "train_correct"]
        checked = origin(study, recipe, removal, lists)
        test, train = read_shards(paths, range(len(paths)), fields, checked).values()
        parts = (test, test[:, influenced], train, train[:, lists["selected"]])
        found.append(Fit(recipe, len(paths), *(100 * float(part.mean()) for part in parts)))
    return found


def origin(study: Study, recipe: str, removal: str, lists: dict[str, np.ndarray]) -> Origin:
    """Return how the models of an arm must have been trained.

    The examples of random controls follow from the training labels, which are not at hand.
    """
    mask = None
    if not removal.startswith(CONTROL):
        kept = np.ones(N_TRAIN, dtype=bool)
        kept[lists.get(removal, [])] = False

        def mask(trial: int) -> np.ndarray:
            return kept

    return Origin(removal, study.recipes[recipe], study.config.seed, CIFAR100_DIGEST, mask)


def shard_versions(paths: Iterable[Path]) -> list[str]:
    """Return the versions of Python and torch that trained the models."""
    found = set()
    for path in paths:
        with reading_shard(path) as file:
            found.add(f"Python {file.attrs['python']}, torch {file.attrs['torch']}")
    return sorted(found)


def judged_groups(members: list[Member], duplicated: set[int]) -> dict:
    """Return counts of the groups judged by eye, agreement, and the automatic check's result.

    `duplicated` are the selected examples with a duplicate in the test set.
    """
    rows = tables.read_rows(JUDGED, Judgment)
    checked = {member.example: member.checked_group for member in members}
    passed = {
        row.test: None not in (found := {checked[i] for i in row.train}) and len(found) == 1
        for row in rows
    }
    one, two = (np.array([getattr(r, name) for r in rows]) for name in ("reading_a", "reading_b"))
    words = {row.test: row.final for row in rows}
    alike = {example for row in rows if row.final == "alike" for example in row.train}
    return {
        "n": len(rows),
        "counts": Counter(words.values()),
        "agreement": float((one == two).mean()),
        "kappa": kappa(one, two),
        "differ": int((one != two).sum()),
        "passed": Counter(words[test] for test, is_passed in passed.items() if is_passed),
        "examples": len(checked),
        "examples_alike": len(alike),
        "leakage_shift": len(alike | duplicated),
    }


def kappa(one: np.ndarray, two: np.ndarray) -> float:
    """Return Cohen's kappa of two readings."""
    chance = sum(float((one == word).mean() * (two == word).mean()) for word in WORDS)
    return (float((one == two).mean()) - chance) / (1 - chance)


if __name__ == "__main__":
    main()
