"""Differences of test accuracy with confidence intervals and tests.

Accuracies are in percent, differences in percentage points (pp). Two intervals answer two
questions. On the *fixed test set* only training is random: Student's t over the differences of
models that share a trial. *Including test-set sampling* the test images are a sample too:
`memaudit.results.two_way`.

Arms with the same trials are always paired; arms with different trials are taken for independent
(Welch). With one model per arm the variance is unknown: what rests on it is NaN.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special  # scipy.stats takes a second to import

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
TAILS = (1 - LEVEL) / 2, (1 + LEVEL) / 2  # quantiles that bound a CI
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Arm:
    """The models trained with one recipe without one set of examples.

    Parameters
    ----------
    trials : int64 (models,)
        Trial of each model, ascending. Models of the same trial in two arms share their seeds.
    correct : bool (models, images)
        Whether each model classifies each test image correctly.

    Raises
    ------
    ValueError
        If the shapes are not as stated, or the trials do not ascend.

    Examples
    --------
    >>> arm = Arm(np.arange(2), np.array([[True, True], [True, False]]))
    >>> arm.accuracy
    array([100.,  50.])
    """

    trials: npt.NDArray[np.int64]
    correct: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        for name, dimensions in (("trials", 1), ("correct", 2)):
            found = getattr(self, name)
            if not isinstance(found, np.ndarray) or found.ndim != dimensions:
                got = getattr(found, "shape", type(found).__name__)
                raise ValueError(f"{name} must be an array of {dimensions} dimension(s), got {got}")
        if len(self.trials) != len(self.correct) or not len(self.trials):
            got = f"{len(self.trials)} trials for {len(self.correct)} rows of correct"
            raise ValueError(f"an arm needs one trial per model, at least one, got {got}")
        if (np.diff(self.trials) <= 0).any():
            raise ValueError(f"trials must ascend, each once, got {self.trials.tolist()}")

    @cached_property
    def accuracy(self) -> Floats:
        """Test accuracy of each model, percent (models,)."""
        return np.asarray(100 * self.correct.mean(axis=1), dtype=np.float64)

    def on(self, images: npt.NDArray[np.int64]) -> "Arm":
        """Return the same models on some of the test images, int64 (images,)."""
        return Arm(self.trials, self.correct[:, images])


@dataclass(frozen=True)
class Estimate:
    """A difference of mean test accuracies with its 95% CI, percentage points.

    Parameters
    ----------
    value : float
        The difference; of a drop, positive where accuracy is lost.
    sd : float
        Standard deviation of the difference between single models.
    se, df : float
        Standard error of `value` and its degrees of freedom.
    low, high : float
        Lower and upper bound of the 95% CI.
    image_variance : float
        The part of `se` squared that comes from test-set sampling; 0 on a fixed test set.
    images : int
        Number of test images that were sampled; 0 on a fixed test set.

    Notes
    -----
    All but `value` are NaN where an arm has one model or there are fewer than two images.
    """

    value: float
    sd: float = np.nan
    se: float = np.nan
    df: float = np.nan
    low: float = np.nan
    high: float = np.nan
    image_variance: float = 0.0
    images: int = 0

    def se_at(self, difference: float) -> float:
        """Return the standard error for a test against a `difference`, percentage points.

        Test-set sampling counts at least as much as it would if the difference were that, made of
        images that every model of one arm gets right and none of the other: so few images vary as
        rare events do, and where none was drawn their variance seems to be zero.
        """
        share = abs(difference)
        least = share * (100 - share) / self.images if self.images else 0.0
        return float(np.sqrt(self.se**2 + max(0.0, least - self.image_variance)))


NO_CHANGE = Estimate(0.0, 0.0, 0.0, float("inf"), 0.0, 0.0)


def t_quantile(p: float, df: float) -> float:
    """Return the `p` quantile of Student's t distribution."""
    return float(special.stdtrit(df, p))


def normal_quantile(p: float) -> float:
    """Return the `p` quantile of the standard normal distribution."""
    return float(special.ndtri(p))


def sum_of_parts(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the standard error and the degrees of freedom of a sum of independent means.

    `parts` are (variance of the mean, its degrees of freedom); Welch and Satterthwaite's formula.
    """
    variance = sum(part for part, _ in parts)
    below = sum(part**2 / df for part, df in parts)
    return float(np.sqrt(variance)), float(variance**2 / below) if below else float("inf")


def around(value: float, se: float, df: float) -> tuple[float, float]:
    half = t_quantile(TAILS[1], df) * se if se else 0.0
    return value - half, value + half


def by_trials(signed: Sequence[tuple[int, Arm]]) -> list[list[tuple[int, Arm]]]:
    """Group arms by their trials: those of a group are paired."""
    groups: dict[bytes, list[tuple[int, Arm]]] = defaultdict(list)
    for sign, arm in signed:
        groups[arm.trials.astype(np.int64).tobytes()].append((sign, arm))
    return list(groups.values())


def over_models(signed: Sequence[tuple[int, Arm]]) -> list[tuple[float, int]]:
    """Return (variance, models) of the signed sum of accuracies, one per group of paired arms."""
    return [
        (float(np.var(sum(sign * arm.accuracy for sign, arm in group), ddof=1)), len(trials))
        for group in by_trials(signed)
        for trials in [group[0][1].trials]
    ]


def fixed_test_set(signed: Sequence[tuple[int, Arm]]) -> Estimate:
    """Return the signed sum of the mean accuracies of arms, with its CI on the fixed test set.

    `signed` are (1 or -1, arm).
    """
    value = float(sum(sign * arm.accuracy.mean() for sign, arm in signed))
    if min(len(arm.trials) for _, arm in signed) < 2:
        return Estimate(value)
    parts = over_models(signed)
    se, df = sum_of_parts([(variance / n, n - 1) for variance, n in parts])
    sd = float(np.sqrt(sum(variance for variance, _ in parts)))
    return Estimate(value, sd, se, df, *around(value, se, df))


def accuracy_drop(full: Arm, reduced: Arm) -> Estimate:
    """Estimate how far test accuracy drops from one arm to another, on a fixed test set.

    Parameters
    ----------
    full, reduced : Arm
        Models trained on all examples and without some of them, on the same test images.

    Returns
    -------
    Estimate
        The drop in percentage points. Where both arms have the same trials, its CI is Student's
        over the differences within trials; otherwise Welch's. NaN bounds with one model per arm.

    Raises
    ------
    ValueError
        If the arms have different numbers of test images.

    See Also
    --------
    TwoWay : CIs that include test-set sampling.

    Examples
    --------
    >>> full = Arm(np.arange(3), np.ones((3, 4), dtype=bool))
    >>> reduced = Arm(np.arange(3), np.array([[1, 1, 1, 0]] * 3, dtype=bool))
    >>> accuracy_drop(full, reduced).value
    25.0
    """
    check_images({"full": full, "reduced": reduced})
    return fixed_test_set([(1, full), (-1, reduced)])


def check_images(arms: Mapping[str, Arm]) -> int:
    """Return the number of test images of all arms. Raises ValueError if they differ."""
    counts = {name: arm.correct.shape[1] for name, arm in arms.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"arms must have the same test images, got {counts or 'no arm'}")
    return int(next(iter(counts.values())))


def mean_interval(values: Floats) -> tuple[float, float]:
    """Return the bounds of Student's 95% CI of the mean of `values` (models,)."""
    if len(values) < 2:
        return np.nan, np.nan
    n = len(values)
    return around(float(values.mean()), float(np.sqrt(values.var(ddof=1) / n)), n - 1)


def with_bounds(name: str, found: Estimate) -> dict[str, float]:
    """Return the columns `name`, `name`_low and `name`_high of a table."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def correlation(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """Return Pearson's correlation of two arrays of equal size, without pairs that have NaN.

    NaN if there are fewer than three pairs or no variation.
    """
    x, y = (np.asarray(values, dtype=np.float64).ravel() for values in (x, y))
    known = ~np.isnan(x + y)
    x, y = x[known], y[known]
    if x.size < 3 or min(np.ptp(x), np.ptp(y)) < 1e-9:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])


def holm(p: Sequence[float]) -> Floats:
    """Adjust p values for multiple testing, controlling the family-wise error rate.

    Parameters
    ----------
    p : sequence of float
        The p values of one family of hypotheses.

    Returns
    -------
    float64 (len(p),)
        Adjusted p values, in the order given.

    Raises
    ------
    ValueError
        If `p` is not a sequence of numbers.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.

    Examples
    --------
    >>> holm([0.01, 0.04]).tolist()
    [0.02, 0.04]
    """
    values = np.asarray(p, dtype=float)
    if values.ndim != 1:
        raise ValueError(f"p must be a sequence of numbers, got shape {values.shape}")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def no_effect(found: Estimate) -> float:
    """Test the hypothesis that a difference is zero.

    Parameters
    ----------
    found : Estimate
        A difference with its standard error.

    Returns
    -------
    float
        Two-sided p value of the t test; NaN without a standard error.

    Examples
    --------
    >>> no_effect(Estimate(2.0, se=1.0, df=10)) < 0.05
    False
    """
    if found.se == 0:
        return float(found.value == 0)
    return float(2 * special.stdtr(found.df, -abs(found.value) / found.se))


def equivalence(found: Estimate, margin: float) -> float:
    """Test the hypothesis that a difference is `margin` or more, in either direction.

    Parameters
    ----------
    found : Estimate
        A difference with its standard error.
    margin : float
        Equivalence margin, percentage points.

    Returns
    -------
    float
        The larger p value of two one-sided t tests (TOST), with the standard error
        `Estimate.se_at(margin)`. Below 0.05 the difference is shown to be within the margin. NaN
        without a standard error.

    References
    ----------
    Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15:657.

    Examples
    --------
    >>> equivalence(Estimate(0.0, se=0.1, df=20), 0.25) < 0.05
    True
    """
    return one_sided(replace(found, value=abs(found.value)), margin)[1]


def one_sided(found: Estimate, limit: float) -> tuple[float, float]:
    """Return the p values of two hypotheses: the difference is at most, is at least `limit`.

    Percentage points, with `Estimate.se_at(limit)`. Where the first is small the difference is
    shown to be above the limit, where the second is, below. Both NaN without a standard error.
    """
    beyond, se = found.value - limit, found.se_at(limit)
    if se == 0:
        return float(beyond <= 0), float(beyond >= 0)
    t = beyond / se
    return float(special.stdtr(found.df, -t)), float(special.stdtr(found.df, t))
