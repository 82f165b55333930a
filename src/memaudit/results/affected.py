"""Which test examples pay for a removal: each of those that removed examples influence, and by groups.

Differences are in percentage points, positive where accuracy falls. A test example belongs to the
removed examples that influence it most: to their subpopulation, or to those with a duplicate in the
test set, or to those that are neither. What is predicted is the sum of the influences, as if they
added up; they were measured on models of subsets, not on those that are compared here.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np
from scipy import stats

from memaudit import tables
from memaudit.buckets.assign import KINDS, Assignment, removal_lists
from memaudit.models.removals import CONTROL
from memaudit.results.statistics import LEVEL, Arm, Drop, welch_drop
from memaudit.scores.estimate import standard_error
from memaudit.scores.selection import Pair

DUPLICATES, NEITHER, OTHERS = "duplicates", "neither", "other test examples"
SHARE = 0.8  # of a drop: how many test examples carry so much


@dataclass(frozen=True)
class Example:
    """A test example that examples of a removal influence: a row of affected.csv.

    `removed`: how many of the removed examples influence it. `group` is where it belongs, see
    `group_of`; `bucket` that of the removed example of greatest influence on it. Accuracies are over
    the models (percent); `low` to `high` is the 95 % interval of the drop over models (Agresti &
    Caffo 2000). `control_drop` is the drop on it where as many examples are removed at random.
    """

    recipe: str
    removal: str
    test: int
    class_name: str
    group: str
    bucket: str
    removed: int
    models_full: int
    models_reduced: int
    acc_full: float
    acc_reduced: float
    drop: float
    low: float
    high: float
    predicted: float
    control_drop: float


@dataclass(frozen=True)
class Group:
    """A row of groups.csv: removed examples that belong together, and the test examples they affect.

    `mean_drop` is that of these test examples; `contribution` what they add to the drop of the whole
    test set, with its 95 % interval over models (Welch). The contributions of a removal, those of
    the other test examples with them, add up to its drop.
    """

    recipe: str
    removal: str
    group: str
    removed_examples: int
    test_examples: int
    mean_drop: float
    contribution: float
    low: float
    high: float
    predicted: float
    control_contribution: float


@dataclass(frozen=True)
class Summary:
    """A row of affected_summary.csv: which test examples carry the drop of a removal.

    `influenced` of the `test_examples` are influenced by removed examples: `drop_influenced` is their
    contribution to the `drop`, `drop_rest` that of all others, each with its 95 % interval over
    models (Welch). `predicted` is the sum of all influences. `share_influenced` and
    `found_to_predicted` are ratios; `carry` is how many test examples, in the order of what was
    predicted for them, carry 80 % of the drop. These three are empty (NaN, None) where the drop's
    interval holds 0, and `carry` where the influenced examples carry less than that.
    """

    recipe: str
    removal: str
    removed_examples: int
    test_examples: int
    influenced: int
    drop: float
    low: float
    high: float
    drop_influenced: float
    drop_influenced_low: float
    drop_influenced_high: float
    drop_rest: float
    drop_rest_low: float
    drop_rest_high: float
    share_influenced: float
    carry: int | None
    predicted: float
    found_to_predicted: float
    control_influenced: float


def group_of(row: Assignment) -> str:
    """The group of a removed example: its duplicate goes before its subpopulation, as in buckets."""
    if row.reason in KINDS:
        return DUPLICATES
    return NEITHER if row.reason == "none" else f"subpopulation {row.group}"


def contribution(full: Arm, reduced: Arm, images: np.ndarray) -> Drop:
    """What the test examples `images` (examples,) add to the drop of the whole test set."""
    part = len(images) / full.correct.shape[1]
    if not len(images):
        return Drop(0.0, 0.0, 0.0, 0.0, 0.0)
    found = welch_drop(full.on(images).accuracy, reduced.on(images).accuracy)
    return Drop(*(part * value for value in asdict(found).values()))


def view(
    arms: Mapping[str, Arm],
    recipe: str,
    removal: str,
    pairs: Sequence[Pair],
    assignments: Sequence[Assignment],
    test_classes: Sequence[str],
) -> tuple[Summary, list[Group], list[Example]]:
    """What the removal `removal` (selected, or a bucket) does to the test examples it influences.

    `arms` by "recipe/removal", on all test examples, with that of the control where there is one;
    `test_classes` names the class of each test example. Groups come by what they contribute, the
    other test examples last; examples by what is predicted for them, greatest first.
    """
    full, reduced = arms[f"{recipe}/none"], arms[f"{recipe}/{removal}"]
    control = arms.get(f"{recipe}/{CONTROL}{removal}")
    rows = {row.example: row for row in assignments}
    removed = [rows[index] for index in removal_lists(assignments)[removal]]
    on_test = _influences(pairs, {row.example for row in removed})
    accuracy = {
        arm: 100 * np.mean(a.correct, axis=0) for arm, a in (("full", full), ("reduced", reduced))
    }
    by_control = accuracy["full"] - 100 * control.correct.mean(axis=0) if control else None
    examples = []
    for test, found in on_test.items():
        sums: dict[str, float] = defaultdict(float)
        for index, value in found.items():
            sums[group_of(rows[index])] += value
        before, after = float(accuracy["full"][test]), float(accuracy["reduced"][test])
        examples.append(
            Example(
                recipe,
                removal,
                test,
                test_classes[test],
                max(sorted(sums), key=sums.__getitem__),
                rows[max(sorted(found), key=found.__getitem__)].bucket,
                len(found),
                len(full.trials),
                len(reduced.trials),
                before,
                after,
                before - after,
                *_interval(full.correct[:, test], reduced.correct[:, test]),
                100 * sum(found.values()),
                float(by_control[test]) if control else float("nan"),
            )
        )
    examples.sort(key=lambda example: (-example.predicted, example.test))
    members: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        members[example.group].append(example)
    names = {group_of(row) for row in removed} | members.keys()
    groups = [
        _group(recipe, removal, name, removed, members[name], full, reduced, by_control)
        for name in names
    ]
    groups.sort(key=lambda group: (-group.contribution, group.group))
    others = np.setdiff1d(np.arange(full.correct.shape[1]), list(on_test))
    groups.append(_others(recipe, removal, others, full, reduced, by_control))
    return _summary(examples, removed, others, full, reduced, groups), groups, examples


def _influences(pairs: Sequence[Pair], removed: set[int]) -> dict[int, dict[int, float]]:
    """For each test example the influence of each removed example on it."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for pair in pairs:
        if pair.train in removed:
            found[pair.test][pair.train] = pair.influence
    return found


def _interval(full: np.ndarray, reduced: np.ndarray) -> tuple[float, float]:
    """Agresti and Caffo's interval of the drop on one test example, correct bool (models,) each."""
    right, n = (full.sum(), reduced.sum()), (len(full), len(reduced))
    middle = (right[0] + 1) / (n[0] + 2) - (right[1] + 1) / (n[1] + 2)
    half = stats.norm.ppf((1 + LEVEL) / 2) * standard_error(right[0], n[0], right[1], n[1])
    low, high = np.clip([middle - half, middle + half], -1, 1)
    return float(100 * low), float(100 * high)


def _group(recipe, removal, name, removed, examples, full, reduced, by_control) -> Group:
    images = np.array([example.test for example in examples], dtype=np.int64)
    found = contribution(full, reduced, images)
    n_test = full.correct.shape[1]
    return Group(
        recipe,
        removal,
        name,
        sum(group_of(row) == name for row in removed),
        len(images),
        float(np.mean([example.drop for example in examples])) if examples else float("nan"),
        found.drop,
        found.ci_low,
        found.ci_high,
        sum(example.predicted for example in examples) / n_test,
        float("nan") if by_control is None else float(by_control[images].sum()) / n_test,
    )


def _others(recipe, removal, others, full, reduced, by_control) -> Group:
    """The test examples that no removed example is known to influence, as a group."""
    found, n_test = contribution(full, reduced, others), full.correct.shape[1]
    return Group(
        recipe,
        removal,
        OTHERS,
        0,
        len(others),
        found.drop * n_test / len(others) if len(others) else float("nan"),
        found.drop,
        found.ci_low,
        found.ci_high,
        0.0,
        float("nan") if by_control is None else float(by_control[others].sum()) / n_test,
    )


def _summary(examples, removed, others, full, reduced, groups) -> Summary:
    n_test = full.correct.shape[1]
    influenced = np.array([example.test for example in examples], dtype=np.int64)
    whole = welch_drop(full.accuracy, reduced.accuracy)
    carried = contribution(full, reduced, influenced)
    rest = contribution(full, reduced, others)
    predicted = sum(example.predicted for example in examples) / n_test
    is_drop = bool(removed) and whole.ci_low > 0
    cumulative = np.cumsum([example.drop for example in examples]) / n_test
    enough = np.flatnonzero(cumulative >= SHARE * whole.drop)
    return Summary(
        groups[-1].recipe,
        groups[-1].removal,
        len(removed),
        n_test,
        len(influenced),
        *(whole.drop, whole.ci_low, whole.ci_high),
        *(carried.drop, carried.ci_low, carried.ci_high),
        *(rest.drop, rest.ci_low, rest.ci_high),
        carried.drop / whole.drop if is_drop else float("nan"),
        int(enough[0]) + 1 if is_drop and len(enough) else None,
        predicted,
        whole.drop / predicted if is_drop and predicted else float("nan"),
        sum(group.control_contribution for group in groups[:-1]),
    )


def write(rows: Sequence[Summary | Group | Example], kind: type, path: str | Path) -> None:
    """Write rows of one `kind` as CSV, a column a field; what cannot be said is an empty cell."""
    names = ["class" if field.name == "class_name" else field.name for field in fields(kind)]
    tables.write(path, names, map(astuple, rows), ".4f")
