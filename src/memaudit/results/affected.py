"""Which test examples lose accuracy when examples are removed, one by one and by groups.

Differences are in percentage points, positive where accuracy drops. A test example belongs to the
removed examples that influence it most: to their subpopulation, to those with a duplicate in the
test set, or to those that are neither. The predicted drop is the sum of the influences, as if they
were additive; they were estimated from models of subsets, not from those compared here.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memaudit.buckets.assign import KINDS, Assignment, removal_lists
from memaudit.models.removals import CONTROL
from memaudit.results import statistics
from memaudit.results.statistics import Arm, Estimate, Floats, accuracy_drop
from memaudit.scores.estimate import standard_error
from memaudit.scores.selection import Pair
from memaudit.tables import column

DUPLICATES, NEITHER, OTHERS = "duplicates", "neither", "other test examples"
SHARE = 0.8  # of a drop: the smallest number of test examples that carries so much


@dataclass(frozen=True, kw_only=True)
class Example:
    """A test example that removed examples influence: a row of affected.csv."""

    recipe: str
    """the recipe"""
    removal: str
    """the examples removed: `selected`, or a bucket"""
    test: int
    """the test example, index"""
    class_name: str = column(name="class")
    """name of its class"""
    group: str
    """group of removed examples with the largest total influence on it: `duplicates` (those
    with a duplicate in the test set), `subpopulation` with its number in `buckets.csv`, or
    `neither`"""
    bucket: str
    """bucket of the removed example with the greatest influence on it"""
    removed: int
    """number of removed examples that influence it"""
    models_full: int
    """number of models trained on all examples"""
    models_reduced: int
    """number of models trained without the removed examples"""
    acc_full: float
    """share of the models trained on all examples that classify it correctly; percent"""
    acc_reduced: float
    """share of the models trained without the removed examples that do; percent"""
    drop: float
    """acc_full - acc_reduced; pp"""
    low: float
    """lower bound of the 95% CI of the drop over models (Agresti & Caffo 2000); pp"""
    high: float
    """upper bound of that CI; pp"""
    predicted: float
    """sum of the influences of the removed examples on it; may exceed 100; pp"""
    control_drop: float
    """drop on it under the matched random control; pp"""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Removed examples that belong together and what they affect: a row of groups.csv."""

    recipe: str
    """the recipe"""
    removal: str
    """the examples removed"""
    group: str
    """as in `affected.csv`; `other test examples`, the last of a removal, are those that no
    removed example is known to influence"""
    removed_examples: int
    """number of removed examples in the group"""
    test_examples: int
    """number of test examples that belong to it"""
    mean_drop: float
    """mean drop on them; empty without any; pp"""
    contribution: float
    """their contribution to the drop on the whole test set; contributions add up to it; pp"""
    low: float
    """lower bound of its 95% CI on the fixed test set (Student's t over trials); pp"""
    high: float
    """upper bound of that CI; pp"""
    predicted: float
    """the contribution predicted from the influences on them; pp"""
    control_contribution: float
    """their contribution to the drop of the matched random control; pp"""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Which test examples account for the drop of a removal: a row of affected_summary.csv."""

    recipe: str
    """the recipe"""
    removal: str
    """the examples removed"""
    removed_examples: int
    """number of examples removed"""
    test_examples: int
    """number of all test examples"""
    influenced: int
    """number of test examples that a removed example influences"""
    drop: float
    """drop on the whole test set; pp"""
    low: float
    """lower bound of its 95% CI on the fixed test set (Student's t over trials); pp"""
    high: float
    """upper bound of that CI; pp"""
    drop_influenced: float
    """contribution of the influenced test examples to it; pp"""
    drop_influenced_low: float
    """lower bound of its 95% CI on the fixed test set (Student's t over trials); pp"""
    drop_influenced_high: float
    """upper bound of that CI; pp"""
    drop_rest: float
    """contribution of all other test examples to it; pp"""
    drop_rest_low: float
    """lower bound of its 95% CI on the fixed test set (Student's t over trials); pp"""
    drop_rest_high: float
    """upper bound of that CI; pp"""
    share_influenced: float
    """`drop_influenced` / `drop`; empty unless the CI of the drop is above 0; ratio"""
    examples_for_80_percent: int | None
    """number of test examples, greatest predicted drop first, that account for 80% of the
    drop; empty unless its CI is above 0 and the influenced test examples account for that
    much"""
    predicted: float
    """sum of all influences on the test examples, as a drop on the whole test set; pp"""
    found_to_predicted: float
    """`drop` / `predicted`; empty unless the CI of the drop is above 0; ratio"""
    control_influenced: float
    """contribution of the influenced test examples to the drop of the matched random control; pp"""


def group_of(row: Assignment) -> str:
    """Return the group of a removed example: duplicates take precedence, as in the buckets."""
    if row.reason in KINDS:
        return DUPLICATES
    return NEITHER if row.reason == "none" else f"subpopulation {row.group}"


@dataclass(frozen=True, kw_only=True)
class _Arms:
    """The arms of one removal: on all examples, without them, under the control."""

    recipe: str
    removal: str
    full: Arm
    reduced: Arm
    control: Arm | None

    @property
    def n_test(self) -> int:
        return int(self.full.correct.shape[1])

    def control_drops(self) -> Floats:
        """Return the drop on each test example under the control, pp; NaN without a control."""
        if self.control is None:
            return np.full(self.n_test, np.nan)
        after = self.control.correct.mean(axis=0)
        return np.asarray(100 * (self.full.correct.mean(axis=0) - after))

    def control_contribution(self, images: npt.NDArray[np.int64]) -> float:
        """Return their contribution to the drop of the control, pp; NaN without a control."""
        drops = self.control_drops()[images]
        return float(drops.sum()) / self.n_test if self.control else np.nan

    def contribution(self, images: npt.NDArray[np.int64]) -> Estimate:
        """Return what the test examples `images` contribute to the drop on the whole test set."""
        if not len(images):
            return statistics.NO_CHANGE
        found = accuracy_drop(self.full.on(images), self.reduced.on(images))
        share = len(images) / self.n_test
        return Estimate(share * found.value, low=share * found.low, high=share * found.high)


def view(
    arms: Mapping[str, Arm],
    arm: tuple[str, str],
    pairs: Sequence[Pair],
    assignments: Sequence[Assignment],
    test_classes: Sequence[str],
) -> tuple[Summary, list[Group], list[Example]]:
    """Return what a removal does to the test examples that the removed examples influence.

    `arms` by "recipe/removal", on all test examples, with the control if there is one; `arm` the
    (recipe, removal), where the removal is `selected` or a bucket; `test_classes` names the class
    of each test example. Groups come by contribution, the other test examples last; examples by
    predicted drop, greatest first.
    """
    recipe, removal = arm
    compared = _Arms(
        recipe=recipe,
        removal=removal,
        full=arms[f"{recipe}/none"],
        reduced=arms[f"{recipe}/{removal}"],
        control=arms.get(f"{recipe}/{CONTROL}{removal}"),
    )
    rows = {row.example: row for row in assignments}
    removed = {index: rows[index] for index in removal_lists(assignments)[removal]}
    examples = _examples(compared, _influences(pairs, removed), removed, test_classes)
    members: dict[str, list[Example]] = {group_of(row): [] for row in removed.values()}
    for example in examples:
        members[example.group].append(example)
    sizes = Counter(group_of(row) for row in removed.values())
    groups = [
        _group(compared, name, sizes[name], _images(of), sum(one.predicted for one in of))
        for name, of in members.items()
    ]
    groups.sort(key=lambda group: (-group.contribution, group.group))
    others = np.setdiff1d(np.arange(compared.n_test), _images(examples))
    groups.append(_group(compared, OTHERS, 0, others, 0.0))
    return _summary(compared, len(removed), examples, others), groups, examples


def _influences(
    pairs: Sequence[Pair], removed: Mapping[int, Assignment]
) -> dict[int, dict[int, float]]:
    """Return for each test example the influence of each removed example on it."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for pair in pairs:
        if pair.train in removed:
            found[pair.test][pair.train] = pair.influence
    return found


def _examples(
    arms: _Arms,
    influences: Mapping[int, Mapping[int, float]],
    removed: Mapping[int, Assignment],
    test_classes: Sequence[str],
) -> list[Example]:
    before, after = (100 * arm.correct.mean(axis=0) for arm in (arms.full, arms.reduced))
    control_drops = arms.control_drops()
    examples = []
    for test, found in influences.items():
        sums: dict[str, float] = defaultdict(float)
        for index, value in found.items():
            sums[group_of(removed[index])] += value
        low, high = _interval(arms.full.correct[:, test], arms.reduced.correct[:, test])
        examples.append(
            Example(
                recipe=arms.recipe,
                removal=arms.removal,
                test=test,
                class_name=test_classes[test],
                group=max(sorted(sums), key=sums.__getitem__),
                bucket=removed[max(sorted(found), key=found.__getitem__)].bucket,
                removed=len(found),
                models_full=len(arms.full.trials),
                models_reduced=len(arms.reduced.trials),
                acc_full=float(before[test]),
                acc_reduced=float(after[test]),
                drop=float(before[test] - after[test]),
                low=low,
                high=high,
                predicted=100 * sum(found.values()),
                control_drop=float(control_drops[test]),
            )
        )
    return sorted(examples, key=lambda example: (-example.predicted, example.test))


def _interval(full: npt.NDArray[np.bool_], reduced: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return Agresti and Caffo's CI of the drop on one test example, correct (models,) each."""
    right, n = (full.sum(), reduced.sum()), np.array([len(full), len(reduced)])
    middle = (right[0] + 1) / (n[0] + 2) - (right[1] + 1) / (n[1] + 2)
    se = standard_error(right[0], n[0], right[1], n[1])
    half = statistics.normal_quantile(statistics.TAILS[1]) * se
    low, high = np.clip([middle - half, middle + half], -1, 1)
    return float(100 * low), float(100 * high)


def _group(
    arms: _Arms, name: str, n_removed: int, images: npt.NDArray[np.int64], predicted: float
) -> Group:
    """Return a group of test examples `images`; `predicted` is the sum of their predictions."""
    found, n = arms.contribution(images), len(images)
    return Group(
        recipe=arms.recipe,
        removal=arms.removal,
        group=name,
        removed_examples=n_removed,
        test_examples=n,
        mean_drop=found.value * arms.n_test / n if n else np.nan,
        contribution=found.value,
        low=found.low,
        high=found.high,
        predicted=predicted / arms.n_test,
        control_contribution=arms.control_contribution(images),
    )


def _images(examples: Sequence[Example]) -> npt.NDArray[np.int64]:
    return np.array([example.test for example in examples], dtype=np.int64)


def _summary(
    arms: _Arms, n_removed: int, examples: Sequence[Example], others: npt.NDArray[np.int64]
) -> Summary:
    influenced = _images(examples)
    whole = accuracy_drop(arms.full, arms.reduced)
    carried, rest = arms.contribution(influenced), arms.contribution(others)
    predicted = sum(example.predicted for example in examples) / arms.n_test
    is_drop = bool(n_removed) and whole.low > 0
    cumulative = np.cumsum([example.drop for example in examples]) / arms.n_test
    enough = np.flatnonzero(cumulative >= SHARE * whole.value)
    return Summary(
        recipe=arms.recipe,
        removal=arms.removal,
        removed_examples=n_removed,
        test_examples=arms.n_test,
        influenced=len(influenced),
        drop=whole.value,
        low=whole.low,
        high=whole.high,
        **statistics.with_bounds("drop_influenced", carried),
        **statistics.with_bounds("drop_rest", rest),
        share_influenced=carried.value / whole.value if is_drop else np.nan,
        examples_for_80_percent=int(enough[0]) + 1 if is_drop and len(enough) else None,
        predicted=predicted,
        found_to_predicted=whole.value / predicted if is_drop and predicted else np.nan,
        control_influenced=arms.control_contribution(influenced),
    )
