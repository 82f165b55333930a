"""What the complete trials show: the tables and figures, and the numbers that the page quotes."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from examples import Examples, odds
from scipy.optimize import brentq
from scipy.stats import chi2
from studies import N_TEST, N_TRAIN, origin, shard, versions

from memaudit import store, tables
from memaudit.data.cifar import CLASSES
from memaudit.figures.affected import affected as draw_affected
from memaudit.figures.curves import learning_curves
from memaudit.figures.drops import drops
from memaudit.models.removals import CONTROL
from memaudit.models.shards import read_shards
from memaudit.results import accuracies, affected, claims, curves, power, summary, table2
from memaudit.results.answer import answer
from memaudit.results.statistics import Arm, Estimate, accuracy_drop, normal_quantile
from memaudit.study.study import Study


@dataclass(frozen=True)
class Fit:
    """Mean accuracies of the models of a recipe on all examples, percent.

    `without` is that on the selected examples of models trained without them.
    """

    recipe: str
    models: int
    test: float
    influenced: float
    train: float
    selected: float
    without: float | None


@dataclass(frozen=True)
class Parts:
    """The excess drop of an arm and what groups of test images contribute to it, pp.

    On the fixed test set. `n_influenced` test images are influenced by the removed examples,
    `n_clean` of these have no duplicate; `duplicated` and `leak_free` are all those with and
    without one. Contributions of two groups that are all images together add up to `all`.
    """

    recipe: str
    removal: str
    n_influenced: int
    n_clean: int
    all: Estimate
    influenced: Estimate
    rest: Estimate
    duplicated: Estimate
    leak_free: Estimate
    clean: Estimate

    def exclude_0(self) -> bool:
        """Return whether a CI of the two divisions excludes 0."""
        found = (self.influenced, self.rest, self.duplicated, self.leak_free)
        return any(one.low > 0 or one.high < 0 for one in found)


@dataclass(frozen=True)
class Reach:
    """What the wanted trials can show of the memorized bucket: at the SD measured and its bounds.

    SD of the excess drop between trials, pp, with its 95% CI; for each of the three, the smallest
    difference found with 80% power before adjustment, pp, and the trials that show equivalence with
    80% power where nothing differs, None if no number is enough; the power before adjustment to
    support claim 7 where nothing differs.
    """

    sd: tuple[float, float, float]
    difference: tuple[float, float, float]
    trials: tuple[int | None, int | None, int | None]
    supports: float


def write_findings(
    study: Study, source: Path, output: Path, trials: int, examples: Examples
) -> dict:
    """Write the tables and figures of the complete trials; return what the page quotes."""
    settings = table2.Settings(
        **study.settings["statistics"], seed=study.config.seed, published=True
    )
    name = title(study, trials)
    shards = {arm: [shard(source, arm, trial) for trial in range(trials)] for arm in study.arms}
    gathered = output / "accuracies.h5"
    accuracies.gather_accuracies(
        [
            (origin(study, arm, examples.removed), arm[0], trials, paths)
            for arm, paths in shards.items()
        ],
        gathered,
    )
    parts_of_test = {"leak_free": examples.leak_free}
    rows = table2.table_rows(gathered, study.rows, N_TEST, settings, parts_of_test)
    arms, removed = accuracies.read_arms(gathered, study.rows, N_TEST)
    with store.reading(gathered, store.ACCURACIES) as file:
        each = {arm: file["/".join(arm)]["test_accuracy"][:] for arm in study.arms}
    gathered.unlink()

    tables.write_rows(output / "table2.csv", table2.Table2Row, rows)
    sentences = answer(rows, settings.margin, study.config.memorization.source)
    table = table2.markdown(rows, name, sentences, settings.margin)
    store.write_text(output / "table2.md", table)
    drops(rows, output / "drops.png", each)

    contrasts = table2.Contrasts(arms, removed, settings)
    judged = claims.judge(
        contrasts, examples.assignments, examples.leaks, examples.memorized, annotated=True
    )
    tables.write_rows(output / "claims.csv", claims.Claim, judged)
    text = claims.markdown(judged, name, settings.margin, published=True)
    store.write_text(output / "claims.md", text)

    learned = []
    for arm in study.full_arms:
        checked = origin(study, arm, examples.removed)
        models = read_shards(shards[arm], range(trials), curves.FIELDS, checked)
        learned += curves.curve_rows(arm[0], models)
    tables.write_rows(output / "learning_curves.csv", curves.CurveRow, learned)
    learning_curves(learned, output / "learning_curves.png")

    summaries = write_affected(study, output, arms, examples)
    divided = [parts(arms, row, examples) for row in study.paper_rows]
    for figure in ("drops", "affected", "learning_curves"):
        (output / f"{figure}.svg").unlink(missing_ok=True)
    trained = [summary.trained(*arm, paths, N_TRAIN) for arm, paths in shards.items()]
    return {
        "table": summary.first_table(table),
        "claims": summary.first_table(text),
        "summaries": summaries,
        "parts": divided,
        "some_exclude_0": any(part.exclude_0() for part in divided[1:4]),
        "rows": rows,
        "judged": judged,
        "reach": reach(study, arms) if trials > 1 else None,
        "each": excess_drops(each),
        "odds": odds(examples),
        "seconds": sum(part.seconds for part in trained),
        "models": sum(part.models for part in trained),
        "devices": sorted({part.device for part in trained}),
        "versions": versions(path for paths in shards.values() for path in paths),
    }


def title(study: Study, trials: int) -> str:
    """Return the name of the study with its network and trials."""
    network, wanted = study.recipes["original"]["network"], study.config.trials
    looks = f"preliminary, {trials} of {wanted} trials; p values do not account for interim looks"
    return f"{study.name}, network {network} ({looks if trials < wanted else f'{trials} trials'})"


def write_affected(
    study: Study, output: Path, arms: dict[str, Arm], examples: Examples
) -> list[affected.Summary]:
    """Write the tables and the figure of the influenced test examples; return the summaries."""
    classes = [""] * N_TEST  # known for the influenced test examples, which are all that is read
    for pair in examples.pairs:
        classes[pair.test] = CLASSES["cifar100"][pair.label]
    views = [
        affected.view(arms, row, examples.pairs, examples.assignments, classes)
        for row in study.paper_rows
    ]
    summaries = [one for one, _, _ in views]
    tables.write_rows(output / "affected_summary.csv", affected.Summary, summaries)
    tables.write_rows(output / "groups.csv", affected.Group, [g for _, gs, _ in views for g in gs])
    rows = [example for _, _, found in views for example in found]
    tables.write_rows(output / "affected.csv", affected.Example, rows)
    draw_affected(
        [(one, found) for one, _, found in views], output / "affected.png", published=True
    )
    return summaries


def parts(arms: dict[str, Arm], row: tuple[str, str], examples: Examples) -> Parts:
    """Return the excess drop of a row of Table 2 by groups of test images."""
    recipe, removal = row
    control, reduced = arms[f"{recipe}/{CONTROL}{removal}"], arms[f"{recipe}/{removal}"]
    removed = {*examples.removed[removal].tolist()}
    influenced = np.unique([pair.test for pair in examples.pairs if pair.train in removed])
    clean = np.intersect1d(influenced, examples.leak_free)
    rest = np.setdiff1d(np.arange(N_TEST), influenced)
    groups = (influenced, rest, examples.duplicated, examples.leak_free, clean)
    return Parts(
        recipe,
        removal,
        len(influenced),
        len(clean),
        accuracy_drop(control, reduced),
        *(contribution(control, reduced, images) for images in groups),
    )


def contribution(full: Arm, reduced: Arm, images: np.ndarray) -> Estimate:
    """Return what some images, int64 (images,), contribute to the drop on the whole test set.

    Its CI is that over trials, but at least as wide as if single images varied independently.
    """
    found, share = accuracy_drop(full.on(images), reduced.on(images)), len(images) / N_TEST
    each = full.correct[:, images].astype(float) - reduced.correct[:, images]
    value, trials = share * found.value, len(each)
    if trials < 2:
        return Estimate(value)
    least = 100 / N_TEST * np.sqrt(each.var(axis=0, ddof=1).sum() / trials)
    half = max(share * (found.high - found.low) / 2, normal_quantile(0.975) * least)
    return Estimate(value, low=value - half, high=value + half)


def reach(study: Study, arms: dict[str, Arm]) -> Reach:
    """Return what all trials of the study can show of the memorized bucket."""
    control, reduced = (arms[f"weight_decay/{name}memorized"] for name in (CONTROL, ""))
    drop = accuracy_drop(control, reduced)
    images, margin = power.images_of(control, reduced), study.config.statistics.margin
    low, high = drop.sd * np.sqrt(drop.df / chi2.ppf([0.975, 0.025], drop.df))
    sds = (drop.sd, float(low), float(high))
    wanted = study.config.trials

    def found(sd: float) -> float:
        most = 8 * float(np.sqrt(sd**2 / wanted + images[0]))  # standard errors
        return brentq(lambda d: power.power(sd, wanted, d, images) - power.POWER, 0, most)

    return Reach(
        sds,
        tuple(map(found, sds)),
        tuple(power.models_for_equivalence(sd, margin, N_TEST) for sd in sds),
        power.power(drop.sd, wanted, margin, images),
    )


def excess_drops(each: dict[tuple[str, str], np.ndarray]) -> np.ndarray:
    """Return the excess drop of the memorized bucket in each trial, pp; `each` is in percent."""
    control, reduced = (each["weight_decay", f"{name}memorized"] for name in (CONTROL, ""))
    return control - reduced


def fits(study: Study, source: Path, examples: Examples, trials: int) -> list[Fit]:
    """Return the accuracies of models on all examples: of complete trials, if there are any."""
    found = []
    for arm in study.full_arms:
        paths = [shard(source, arm, trial) for trial in range(trials or study.config.trials)]
        paths = list(itertools.takewhile(Path.exists, paths))
        if not paths:
            continue
        fields = ["test_correct", "train_correct"]
        checked = origin(study, arm, examples.removed)
        test, train = read_shards(paths, range(len(paths)), fields, checked).values()
        rates = (
            test,
            test[:, examples.influenced],
            train,
            train[:, examples.removed["selected"]],
        )
        without = accuracy_without(study, source, arm[0], examples, len(paths))
        found.append(
            Fit(arm[0], len(paths), *(100 * float(rate.mean()) for rate in rates), without)
        )
    return found


def accuracy_without(
    study: Study, source: Path, recipe: str, examples: Examples, trials: int
) -> float | None:
    """Return the accuracy on the selected examples of models trained without them, percent."""
    arm = recipe, "selected"
    paths = [shard(source, arm, trial) for trial in range(trials)]
    if not all(map(Path.exists, paths)):
        return None
    checked = origin(study, arm, examples.removed)
    correct = read_shards(paths, range(trials), ["train_correct"], checked)["train_correct"]
    return 100 * float(correct[:, examples.removed["selected"]].mean())
