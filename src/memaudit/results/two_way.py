"""Confidence intervals that include test-set sampling: a two-way bootstrap over models and images.

Accuracies are in percent, differences in percentage points (pp).
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from zlib import crc32

import numpy as np
import numpy.typing as npt

from memaudit.results import statistics
from memaudit.results.statistics import Arm, Estimate, Floats
from memaudit.seeds import generator

FEW = 6  # with fewer trials, degrees of freedom and the form of a CI cannot be estimated
_BLOCK = 2**20  # numbers held at a time while drawing


def _counts(rng: np.random.Generator, n: int, draws: int) -> npt.NDArray[np.uint8]:
    """Return how often each of n is drawn when n are drawn with replacement, (draws, n)."""
    counts = np.empty((draws, n), dtype=np.uint8)
    step = max(1, _BLOCK // n)
    for first in range(0, draws, step):
        rows = min(step, draws - first)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts[first : first + rows] = np.bincount(drawn.ravel(), minlength=rows * n).reshape(-1, n)
    return counts


def image_part(signed: Sequence[tuple[int, Arm]]) -> tuple[float, float]:
    """Return what test-set sampling adds to a contrast: (variance, pp squared; its df).

    `signed` are (1 or -1, arm), on the same images. The variance over images of the mean
    correctness, less the part of it that comes from having few models: what is left stays however
    many are trained. At least as much as a single changed image would give: that none of n changed
    leaves about 3 / n of all images open (the rule of three), not nothing.
    """
    images = np.sum([sign * arm.correct.mean(axis=0) for sign, arm in signed], axis=0)
    few_models = 0.0
    for group in statistics.by_trials(signed):
        each = np.sum([sign * arm.correct.astype(np.int8) for sign, arm in group], axis=0)
        few_models += float(each.var(axis=0, ddof=1).mean()) / len(each)
    n = len(images)
    return 100**2 * max(1 / n, float(images.var(ddof=1)) - few_models) / n, n - 1


class TwoWay:
    """Contrasts of arms with CIs that include training randomness and test-set sampling.

    Models and images are drawn with replacement (the pigeonhole bootstrap), the same images for
    every arm and the same trials for all arms that share them.

    Such draws count the randomness of a single answer three times (McCullagh 2000): with few models
    the interval would be far too wide. So they give the interval its shape only; its width is that
    of the variance components, the variance over models and the variance over images less the part
    that comes from having few models. A t quantile replaces the normal one, which makes up for what
    small samples lack (Hesterberg 2015, section 4). With fewer than six trials the CI is Student's,
    with the degrees of freedom of the trials alone, as Satterthwaite's formula needs variances that
    are known: too wide where test images vary more than models, and never too narrow.

    Parameters
    ----------
    arms : mapping of str to Arm
        Arms by name, all on the same test images.
    draws : int
        Number of bootstrap draws.
    seed : int
        Seed of the draws.

    Raises
    ------
    ValueError
        If there is no arm, arms have different numbers of test images, or `draws` is below 1.

    References
    ----------
    Owen (2007), Annals of Applied Statistics 1:386. McCullagh (2000), Bernoulli 6:285. Hesterberg
    (2015), The American Statistician 69:371.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> arms = {"all": Arm(np.arange(9), rng.random((9, 50)) < 0.8),
    ...         "without": Arm(np.arange(9), rng.random((9, 50)) < 0.6)}
    >>> found = TwoWay(arms, draws=200, seed=0).contrast(["all"], ["without"])
    >>> found.low < found.value < found.high
    True
    """

    def __init__(self, arms: Mapping[str, Arm], draws: int, seed: int):
        self.arms, self.draws, self.seed = arms, draws, seed
        if draws < 1:
            raise ValueError(f"draws must be at least 1, got {draws}")
        self.n_images = statistics.check_images(arms)
        self._drawn: dict[str, Floats] = {}

    @cached_property
    def _images(self) -> npt.NDArray[np.uint8]:
        return _counts(generator(self.seed, "bootstrap", 0), self.n_images, self.draws)

    def _accuracies(self, name: str) -> Floats:
        """Return the accuracy of an arm in each draw, percent (draws,)."""
        if name not in self._drawn:
            arm = self.arms[name]
            n = len(arm.correct)
            # by its trials: arms that share them draw the same models
            index = crc32(arm.trials.astype(np.int64).tobytes())
            models = _counts(generator(self.seed, "bootstrap", 1, index), n, self.draws)
            right = arm.correct.astype(np.float32)
            total = np.empty(self.draws)
            step = max(1, _BLOCK // self.n_images)
            for first in range(0, self.draws, step):
                rows = slice(first, first + step)
                # whole numbers throughout: the same sum on every machine
                times = (models[rows].astype(np.float32) @ right).astype(np.float64)
                total[rows] = (times * self._images[rows]).sum(axis=1)
            self._drawn[name] = 100 * total / (n * self.n_images)
        return self._drawn[name]

    def contrast(self, plus: Sequence[str], minus: Sequence[str]) -> Estimate:
        """Estimate the sum of the mean accuracies of some arms minus that of others.

        Parameters
        ----------
        plus, minus : sequence of str
            Names of arms. An arm on both sides cancels.

        Returns
        -------
        Estimate
            Percentage points, with the CI including test-set sampling.

        Raises
        ------
        KeyError
            For an unknown name.
        """
        if not self.n_images:
            return Estimate(np.nan)
        signed = [(1, name) for name in plus if name not in minus]
        signed += [(-1, name) for name in minus if name not in plus]
        if not signed:
            return statistics.NO_CHANGE
        arms = [(sign, self.arms[name]) for sign, name in signed]
        fixed = statistics.fixed_test_set(arms)
        if self.n_images < 2 or np.isnan(fixed.se):
            return Estimate(fixed.value)
        sampling = image_part(arms)
        of_models = [(v / n, n - 1) for v, n in statistics.over_models(arms)]
        se, df = statistics.sum_of_parts([*of_models, sampling])
        rest = sampling[0], self.n_images
        drawn = np.sum([sign * self._accuracies(name) for sign, name in signed], axis=0)
        deviations = drawn - drawn.mean()
        spread = float(np.sqrt(np.mean(deviations**2)))
        fewest = min(len(arm.trials) for _, arm in arms)
        if fewest < FEW:
            df = min(df, fewest - 1)
        if fewest < FEW or not (se and spread):
            bounds = statistics.around(fixed.value, se, df)
            return Estimate(fixed.value, fixed.sd, se, df, *bounds, *rest)
        normal = statistics.normal_quantile(statistics.TAILS[1])
        wider = statistics.t_quantile(statistics.TAILS[1], df) / normal
        low, high = fixed.value + wider * se / spread * np.quantile(deviations, statistics.TAILS)
        return Estimate(fixed.value, fixed.sd, se, df, float(low), float(high), *rest)
