"""Estimate memorization from the margins of models, with fewer models.

The quantities are those of Feldman & Zhang (2020), equation 1: differences of the probability that
a prediction is correct. A prediction is correct where its margin (logit of the true class minus the
largest other logit) is positive; the size of the margin says how nearly it was otherwise, which one
bit per model does not. `docs/estimator.md` derives the formulas and reports what they gain.

Probabilities come from a normal kernel about each margin, `smoothed_probability`. The kernel leaves
the variance of the margins as it is, so for normal margins the estimate is unbiased at any
bandwidth; for others the bias vanishes because the bandwidth shrinks with the number of models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import digamma, ndtr, polygamma

from memaudit import bits
from memaudit.scores.estimate import Memorization, packed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MAD_TO_SD = 1.4826  # of a normal distribution
_WINSORIZE = 3.0  # robust standard deviations from the median
_BLOCK = 2**22  # margins held at a time, as float64
LEAST_SD = 1e-9
UNSEEN = 1 / 3  # misclassified models that the SE of a group allows for where none was seen


def bandwidth(models: int) -> float:
    """Return the bandwidth of the kernel, in standard deviations of the margins.

    0.5 at up to 100 models, then shrinking with the square root of their number, so that the
    estimates converge to F&Z's whatever the distribution of the margins, and their bias, which goes
    with the square of the bandwidth, becomes small beside their standard error.
    """
    return float(0.5 * (max(models, 100) / 100) ** -0.5)


def smoothed_probability(
    margins: np.ndarray, mean: np.ndarray, sd: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smoothed probability that each margin is positive, and its slope in `mean`.

    The kernel of bandwidth `width` * `sd` adds to the variance of the margins; scaling them towards
    their mean by sqrt(1 + width^2) takes as much away. Both arrays have the shape of `margins`.
    """
    pull = np.sqrt(1 + width**2) - 1
    scaled = (margins + pull * mean) / (width * sd)
    slope = np.exp(-(scaled**2) / 2) / np.sqrt(2 * np.pi) * pull / (width * sd)
    return ndtr(scaled), slope


def memorization_from_margins(
    mask: np.ndarray, train_margin: np.ndarray, n_train: int | None = None
) -> Memorization:
    """Estimate the memorization of every training example from margins.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (n_models, n_train)
        Whether the model was trained on the example; or packed along the last axis with
        `numpy.packbits`.
    train_margin : numpy.ndarray of float, shape (n_models, n_train)
        Logit of the true class minus the largest other logit.
    n_train : int, optional
        Number of training examples; that of `train_margin` if not given.

    Returns
    -------
    Memorization
        Arrays of shape (n_train,): `value` and `se` as fractions, `n_in` and `n_out` as numbers of
        models. `value` and `se` are NaN where fewer than two models have, or lack, the example.

    Raises
    ------
    ValueError
        If the shapes differ, or a margin is not finite.

    References
    ----------
    Feldman and Zhang (2020), equation 1, for the quantity; Smyth (2004), Statistical Applications
    in Genetics and Molecular Biology 3(1), for the variances moderated over examples.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> mask = rng.random((100, 1)) < 0.7
    >>> margin = rng.normal(np.where(mask, 3.0, -1.0))
    >>> float(memorization_from_margins(mask, margin).value[0]) > 0.75
    True
    """
    train_margin = check_finite("train_margin", train_margin)
    n_train = train_margin.shape[1] if n_train is None else n_train
    mask = packed(mask, n_train, "mask")
    if train_margin.shape != (len(mask), n_train):
        raise ValueError(
            f"train_margin has the shape {train_margin.shape}; by mask and train_labels it must be "
            f"({len(mask)}, {n_train})"
        )
    groups = _Groups.of(mask, train_margin)
    width = bandwidth(len(mask))
    value, variance = np.zeros(n_train), np.zeros(n_train)
    sds = [np.sqrt(moderated(groups.variance[side], groups.count[side] - 1)) for side in (0, 1)]
    for columns, inside, margins in column_blocks(mask, train_margin):
        for side, sign in enumerate((1, -1)):
            mean, sd = groups.mean[side][columns], np.maximum(sds[side][columns], LEAST_SD)
            low, high = groups.bounds[side][:, columns]
            clipped = np.clip(margins, low, high)
            # not clipped: an outlier on the other side of 0 is a prediction that differs
            probability, slope = smoothed_probability(margins, mean, sd, width)
            weight = inside if sign > 0 else ~inside
            n = groups.count[side][columns]
            with np.errstate(invalid="ignore", divide="ignore"):
                value[columns] += sign * (probability * weight).sum(axis=0) / n
                # the estimated mean enters every probability: its error counts as well
                each = probability + clipped * ((slope * weight).sum(axis=0) / n)
                centred = (each - (each * weight).sum(axis=0) / n) * weight
                each_variance = (centred**2).sum(axis=0) / (n - 1) / n
                variance[columns] += np.maximum(each_variance, UNSEEN / n**2)
    n_in = groups.count[0]
    known = (n_in > 1) & (len(mask) - n_in > 1)
    value, se = np.where(known, value, np.nan), np.where(known, np.sqrt(variance), np.nan)
    return Memorization(value, se, n_in, len(mask) - n_in)


def check_finite(name: str, values: "ArrayLike") -> np.ndarray:
    """Return an array (models, n). Raises ValueError with `name` unless all are finite floats."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries; every margin must be a finite number")
    found = np.asarray(values)
    if found.ndim != 2 or found.dtype.kind != "f":
        raise ValueError(
            f"{name} is {found.dtype} {found.shape}; it must be floats (models, examples)"
        )
    for model, row in enumerate(found):
        if not (is_finite := np.isfinite(row)).all():
            example = int(is_finite.argmin())
            raise ValueError(
                f"{name} has {row[example]} (model {model}, example {example}); every margin must "
                "be a finite number"
            )
    return found


def refuse_correctness(name: str, margins: "ArrayLike") -> None:
    """Raise ValueError with `name` where all margins are 0 or 1."""
    found = np.asarray(margins)
    if found.size and all(np.isin(row, (0, 1)).all() for row in found):
        raise ValueError(
            f"{name} has only the values 0 and 1, so it holds correctness, not margins: use "
            "train_correct and test_correct (Scores.from_arrays)"
        )


@dataclass(frozen=True)
class _Groups:
    """Winsorized moments of the margins with [0] and without [1] each example, (2, n_train)."""

    count: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    bounds: np.ndarray  # (2, 2, n_train): lowest and highest margin that is kept, by group

    @classmethod
    def of(cls, mask: np.ndarray, margins: np.ndarray) -> "_Groups":
        n = margins.shape[1]
        n_in = bits.count_bits(mask, n)
        counts = np.stack([n_in, len(mask) - n_in])
        found = cls(counts, np.empty((2, n)), np.empty((2, n)), np.empty((2, 2, n)))
        for columns, inside, block in column_blocks(mask, margins):
            for side, member in enumerate((inside, ~inside)):
                count = found.count[side][columns]
                middle = _masked_median(block, member, count)
                spread = MAD_TO_SD * _masked_median(np.abs(block - middle), member, count)
                low, high = middle - _WINSORIZE * spread, middle + _WINSORIZE * spread
                clipped = np.clip(block, low, high)
                with np.errstate(invalid="ignore", divide="ignore"):
                    mean = (clipped * member).sum(axis=0) / count
                    squares = ((clipped - mean) ** 2 * member).sum(axis=0)
                    # exactly 0, not a rounding error, where all values are equal
                    found.variance[side][columns] = np.where(low == high, 0, squares) / (count - 1)
                found.mean[side][columns] = mean
                found.bounds[side][:, columns] = low, high
        return found


def column_blocks(
    mask: np.ndarray, margins: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield (columns, mask, margins as float64) of a few examples at a time."""
    models, n = margins.shape
    step = max(8, _BLOCK // max(1, models) // 8 * 8)
    for first in range(0, n, step):
        columns = slice(first, min(first + step, n))
        width = columns.stop - first
        inside = bits.unpack(mask[:, first // 8 : -(-columns.stop // 8)], width)
        yield columns, inside, margins[:, columns].astype(np.float64)


def _masked_median(values: np.ndarray, member: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the median of each column over its members, of which there are `count`."""
    ordered = np.sort(np.where(member, values, np.inf), axis=0)
    columns, last = np.arange(values.shape[1]), len(values) - 1
    middles = [np.clip(at, 0, last) for at in ((count - 1) // 2, count // 2)]
    low, high = (ordered[at, columns] for at in middles)
    return np.asarray(np.where(count > 0, (low + high) / 2, np.nan))


def moderated(variance: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Shrink variances, (n,) with `freedom` degrees of freedom each, towards a common one.

    Empirical Bayes with an inverse chi-squared prior, whose degrees of freedom follow from how much
    more the logarithms of the variances differ than by chance (Smyth 2004, section 6.2).
    """
    known = (variance > 0) & (freedom > 0)
    if known.sum() < 3:
        return variance
    half = freedom[known] / 2
    logs = np.log(variance[known]) - digamma(half) + np.log(half)
    excess = float(np.var(logs, ddof=1) - polygamma(1, half).mean())
    if excess <= 0:
        return np.where(known, np.exp(logs.mean()), variance)
    prior = 2 * _inverse_trigamma(excess)
    common = np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2))
    shrunk = (prior * common + freedom * variance) / (prior + freedom)
    return np.where(freedom > 0, shrunk, variance)


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = value by Newton's method on 1 / trigamma (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-8 * x:
            break
    return x
