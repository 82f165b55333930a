"""How sure a difference of test accuracies is: over models, and over models and test images.

Accuracies are in percent, differences in percentage points. Two questions, two intervals. On
*these* test images only the training is random: Welch's interval over the models. For *other*
images of the same kind the test set is a sample too: the two-way bootstrap, which draws models and
images anew.

Nothing can be said of the training's chance from one model an arm: what rests on it is NaN then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
import scipy  # stats is imported when it is used: it takes a second, and not all need it

from memaudit.seeds import generator

LEVEL = 0.95
_BLOCK = 2**20  # numbers held at a time while drawing


@dataclass(frozen=True)
class Drop:
    """The fall in accuracy between two groups of models; percentage points.

    `sd`, `se` and the 95 % interval are NaN where a group has one model: nothing can be said then.
    """

    drop: float
    sd: float
    se: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Arm:
    """The models of one recipe and removal, by trial.

    trials int64 (models,), ascending; correct bool (models, images).
    """

    trials: np.ndarray
    correct: np.ndarray

    @cached_property
    def accuracy(self) -> np.ndarray:
        """Test accuracy of every model, percent (models,)."""
        return 100 * self.correct.mean(axis=1)

    def on(self, images: np.ndarray) -> "Arm":
        """The same models on some of the test images, int64 (images,)."""
        return Arm(self.trials, self.correct[:, images])


@dataclass(frozen=True)
class Estimate:
    """A difference of mean accuracies, percentage points, with its 95 % interval.

    `se` has `freedom` degrees of freedom; `image_variance` is the part of its square that the
    choice of the `images` test images has (none: 0 of 0). `paired`: models of the same trial were
    compared. `se`, `freedom`, `low` and `high` are NaN where an arm has one model or there are
    fewer than two images.
    """

    value: float
    se: float = float("nan")
    freedom: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    paired: bool = False
    image_variance: float = 0.0
    images: int = 0

    def se_at(self, difference: float) -> float:
        """Standard error for a test against a `difference`, percentage points.

        The choice of images counts at least as much as it would if the difference were that, made
        of images that every model of one arm gets right and none of the other: few such images
        vary by chance as rare events do, and where none was drawn their variance looks like none.
        """
        part = abs(difference)
        least = part * (100 - part) / self.images if self.images else 0.0
        return float(np.sqrt(self.se**2 + max(0.0, least - self.image_variance)))


def sum_of_parts(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of independent means.

    `parts` are (variance of the mean, its degrees of freedom); Welch and Satterthwaite's formula.
    """
    variance = sum(part for part, _ in parts)
    below = sum(part**2 / freedom for part, freedom in parts)
    return float(np.sqrt(variance)), float(variance**2 / below) if below else float("inf")


def _mean_part(values: np.ndarray) -> tuple[float, float]:
    return float(np.var(values, ddof=1)) / len(values), len(values) - 1


def _around(value: float, se: float, freedom: float, level: float) -> tuple[float, float]:
    half = float(scipy.stats.t.ppf((1 + level) / 2, freedom)) * se if se else 0.0
    return value - half, value + half


def welch_drop(full: np.ndarray, reduced: np.ndarray, level: float = LEVEL) -> Drop:
    """Drop from `full` to `reduced`, test accuracies (models,), with Welch's interval."""
    drop = float(np.mean(full) - np.mean(reduced))
    if min(len(full), len(reduced)) < 2:
        return Drop(drop, *[float("nan")] * 4)
    se, freedom = sum_of_parts([_mean_part(full), _mean_part(reduced)])
    sd = float(np.sqrt(np.var(full, ddof=1) + np.var(reduced, ddof=1)))
    return Drop(drop, sd, se, *_around(drop, se, freedom, level))


def paired_interval(
    full: np.ndarray, reduced: np.ndarray, level: float = LEVEL
) -> tuple[float, float]:
    """Student's interval of the mean of full - reduced, accuracies (models,) of the same trials."""
    return mean_interval(full - reduced, level)


def mean_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Student's interval of the mean of `values` (models,)."""
    if len(values) < 2:
        return float("nan"), float("nan")
    return _around(float(values.mean()), *sum_of_parts([_mean_part(values)]), level)


def correlation(
    first: np.ndarray, second: np.ndarray, level: float = LEVEL
) -> tuple[float, float, float]:
    """Correlation of two arms' accuracies (models,) of the same trials, with Fisher's interval.

    (r, low, high); all NaN where the models of an arm are all equally good or fewer than four.
    """
    if len(first) < 4 or not np.ptp(first) or not np.ptp(second):
        return (float("nan"),) * 3
    r = float(np.corrcoef(first, second)[0, 1])
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    half = scipy.stats.norm.ppf((1 + level) / 2) / np.sqrt(len(first) - 3)
    return r, float(np.tanh(z - half)), float(np.tanh(z + half))


def extra_sd(
    more: np.ndarray, less: np.ndarray, level: float = LEVEL
) -> tuple[float, float, float]:
    """The sd (sd, low, high) that `more` (models,) have beyond the chance that `less` have too.

    The root of the difference of the two variances, 0 where that is negative; its interval by Zou
    and Donner's method (2008, Statistics in Medicine 27:1693) from the variances' own, by
    chi-squared. All NaN with one model on either side.
    """
    if min(len(more), len(less)) < 2:
        return (float("nan"),) * 3
    tails = (1 + level) / 2, (1 - level) / 2
    (v, v_low, v_high), (w, w_low, w_high) = (
        (variance, *((len(x) - 1) * variance / scipy.stats.chi2.ppf(tails, len(x) - 1)))
        for x in (more, less)
        for variance in (float(np.var(x, ddof=1)),)
    )
    low = v - w - np.hypot(v - v_low, w_high - w)
    high = v - w + np.hypot(v_high - v, w - w_low)
    return tuple(float(np.sqrt(max(0.0, value))) for value in (v - w, low, high))


def is_paired(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether to compare trial by trial: where the correlation's 95 % interval excludes 0.

    Trials share their seeds, but that makes runs alike only where it shows. Paired without that,
    half the degrees of freedom would be given away for nothing.
    """
    _, low, high = correlation(first, second)
    return low > 0 or high < 0


def holm(p: Sequence[float]) -> np.ndarray:
    """p values adjusted so that no hypothesis of the family is wrongly rejected (Holm 1979)."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def no_effect(found: Estimate) -> float:
    """Two-sided p of the hypothesis that the difference is 0; NaN where there is no `se`."""
    if found.se == 0:
        return float(found.value == 0)
    return float(2 * scipy.stats.t.sf(abs(found.value) / found.se, found.freedom))


def equivalence(found: Estimate, margin: float) -> float:
    """p of the hypothesis that the difference is `margin` percentage points or more, up or down.

    Two one-sided t tests (Schuirmann 1987) with `Estimate.se_at`: where p < 0.05, the difference is
    within the margin. NaN where there is no `se`.
    """
    room, se = margin - abs(found.value), found.se_at(margin)
    if se == 0:
        return float(room <= 0)
    return float(scipy.stats.t.sf(room / se, found.freedom))


def one_sided(found: Estimate, limit: float) -> tuple[float, float]:
    """p of the hypotheses that the difference is at most `limit`, and that it is at least `limit`.

    Percentage examples, with `Estimate.se_at`. Where the first is small the difference is shown to be
    above it, where the second is, below. Both NaN where there is no `se`.
    """
    beyond, se = found.value - limit, found.se_at(limit)
    if se == 0:
        return float(beyond <= 0), float(beyond >= 0)
    t = beyond / se
    return float(scipy.stats.t.sf(t, found.freedom)), float(scipy.stats.t.cdf(t, found.freedom))


def _counts(rng: np.random.Generator, n: int, draws: int) -> np.ndarray:
    """How often each of n is drawn when n are drawn with replacement: uint8 (draws, n)."""
    counts = np.empty((draws, n), dtype=np.uint8)
    step = max(1, _BLOCK // n)
    for first in range(0, draws, step):
        rows = min(step, draws - first)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts[first : first + rows] = np.bincount(drawn.ravel(), minlength=rows * n).reshape(-1, n)
    return counts


def image_part(arms: Sequence[tuple[int, Arm]], paired: bool = False) -> tuple[float, float]:
    """What the choice of test images adds to a contrast: (variance, points^2; its freedom).

    `arms` are (sign, arm), on the same images. The variance over images of what the models of an
    arm get right on average, less the part of it that comes from having few models: what is left
    stays however many are trained. At least as much as a single image that changes would give: that
    none of n did leaves about 3 / n of all images open (the rule of three), not nothing.
    """
    images = sum(sign * arm.correct.mean(axis=0) for sign, arm in arms)
    if paired:
        each = sum(sign * arm.correct.astype(np.int8) for sign, arm in arms)
        few_models = each.var(axis=0, ddof=1).mean() / len(each)
    else:
        few_models = sum(
            arm.correct.var(axis=0, ddof=1).mean() / len(arm.correct) for _, arm in arms
        )
    one = 1 / len(images)
    of_images = max(one, float(images.var(ddof=1) - few_models)) / len(images)
    return 100**2 * of_images, len(images) - 1


class TwoWay:
    """Contrasts of arms with the uncertainty of both the models and the test images.

    Models and images are drawn with replacement (the pigeonhole bootstrap: Owen 2007, Annals of
    Applied Statistics 1:386), the same images for every arm. Models of an arm are drawn by
    themselves or, where a contrast is paired, trial by trial for all its arms.

    Such draws count the chance of a single answer, right or wrong, three times (McCullagh 2000,
    Bernoulli 6:285): with few models the interval would be far too wide. They give the interval its
    shape only; its width is that of the variance components. These are the variance of each arm's
    mean over its models, which holds that chance once, and that of the mean over images, less the
    part of it that comes from having few models. The t quantile for their degrees of freedom, in
    place of the normal one, makes up for what small samples lack (Hesterberg 2015, section 4).
    """

    def __init__(self, arms: dict[str, Arm], draws: int, seed: int):
        """`arms` by name, all on the same images; `draws` of the bootstrap; the study's seed."""
        self.arms, self.draws, self.seed = arms, draws, seed
        self.n_images = next(iter(arms.values())).correct.shape[1]
        self._drawn: dict[tuple[str, bool], np.ndarray] = {}

    @cached_property
    def _images(self) -> np.ndarray:
        return _counts(generator(self.seed, "bootstrap", 0), self.n_images, self.draws)

    def _accuracies(self, name: str, paired: bool) -> np.ndarray:
        """Accuracy of an arm in each draw, percent (draws,)."""
        if (name, paired) not in self._drawn:
            correct = self.arms[name].correct
            n = len(correct)
            # by its name: an arm that comes or goes leaves the others as they are
            index = (1,) if paired else (2, crc32(name.encode()))
            models = _counts(generator(self.seed, "bootstrap", *index), n, self.draws)
            right = correct.astype(np.float32)
            total = np.empty(self.draws)
            step = max(1, _BLOCK // self.n_images)
            for first in range(0, self.draws, step):
                rows = slice(first, first + step)
                # whole numbers throughout: the same sum on every machine
                times = (models[rows].astype(np.float32) @ right).astype(np.float64)
                total[rows] = (times * self._images[rows]).sum(axis=1)
            self._drawn[name, paired] = 100 * total / (n * self.n_images)
        return self._drawn[name, paired]

    def contrast(self, plus: Sequence[str], minus: Sequence[str]) -> Estimate:
        """Sum of the mean accuracies of the arms `plus` less that of the arms `minus`.

        An arm on both sides cancels, with its chance. Paired where every arm has the same trials
        and the two sides' sums over the arms correlate (`is_paired`).
        """
        if not self.n_images:
            return Estimate(float("nan"))
        plus, minus = (
            [name for name in side if name not in other]
            for side, other in ((plus, minus), (minus, plus))
        )
        if not plus and not minus:
            return Estimate(0.0, 0.0, float("inf"), 0.0, 0.0)
        signed = [(1, name) for name in plus] + [(-1, name) for name in minus]
        arms = [(sign, self.arms[name]) for sign, name in signed]
        value = float(sum(sign * arm.accuracy.mean() for sign, arm in arms))
        if self.n_images < 2 or min(len(arm.trials) for _, arm in arms) < 2:
            return Estimate(value)
        sides = [[self.arms[name] for name in side] for side in (plus, minus)]
        paired = self._is_paired(*sides)
        of_models, of_images = self._model_parts(arms, paired), image_part(arms, paired)
        se, freedom = sum_of_parts([*of_models, of_images])
        rest = paired, of_images[0], self.n_images
        drawn = sum(sign * self._accuracies(name, paired) for sign, name in signed)
        deviations = drawn - drawn.mean()
        spread = float(deviations.std())
        if not (se and spread):
            return Estimate(value, se, freedom, *_around(value, se, freedom, LEVEL), *rest)
        tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
        wider = scipy.stats.t.ppf(tails[1], freedom) / scipy.stats.norm.ppf(tails[1])
        ends = value + wider * se / spread * np.quantile(deviations, tails)
        return Estimate(value, se, freedom, float(ends[0]), float(ends[1]), *rest)

    @staticmethod
    def _is_paired(plus: list[Arm], minus: list[Arm]) -> bool:
        trials = plus[0].trials
        if not all(np.array_equal(arm.trials, trials) for arm in plus + minus):
            return False
        return is_paired(*(sum(arm.accuracy for arm in side) for side in (plus, minus)))

    @staticmethod
    def _model_parts(arms: list[tuple[int, Arm]], paired: bool) -> list[tuple[float, float]]:
        """Variances of the contrast that come from the models, (points^2, degrees of freedom)."""
        if paired:
            return [_mean_part(sum(sign * arm.accuracy for sign, arm in arms))]
        return [_mean_part(arm.accuracy) for _, arm in arms]
