"""Estimate memorization and influence from the margins of models, with fewer models.

The quantities are those of Feldman & Zhang (2020), equation 1: differences of the probability that
a prediction is correct. A prediction is correct where its margin (logit of the true class minus the
largest other logit) is positive; the size of the margin says how nearly it was otherwise, which one
bit per model does not. `docs/estimator.md` derives the formulas and reports what they gain.

Probabilities come from a normal kernel about each margin, `_probability`. The kernel leaves the
variance of the margins as it is, so for normal margins the estimate is unbiased at any bandwidth;
for others the bias vanishes because the bandwidth shrinks with the number of models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import digamma, ndtr, polygamma

from memaudit import bits
from memaudit.scores.estimate import InfluenceBlock, Memorization, class_labels, packed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ENTER = 3.5  # |t| from which a training example enters the regression of a test margin
MOST_ENTERED = 6  # training examples in the regression of one test margin; k / 15 with fewer models
_MAD_TO_SD = 1.4826  # of a normal distribution
_WINSORIZE = 3.0  # robust standard deviations from the median
_BLOCK = 2**22  # margins held at a time, as float64
_LEAST_SD = 1e-9
UNSEEN = 1 / 3  # misclassified models that the SE of a group allows for where none was seen


def bandwidth(models: int) -> float:
    """Return the bandwidth of the kernel, in standard deviations of the margins.

    0.5 at up to 100 models, then shrinking with the square root of their number, so that the
    estimates converge to F&Z's whatever the distribution of the margins, and their bias, which goes
    with the square of the bandwidth, becomes small beside their standard error.
    """
    return float(0.5 * (max(models, 100) / 100) ** -0.5)


def _probability(
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
            f"train_margin has shape {train_margin.shape}; the mask says ({len(mask)}, {n_train})"
        )
    groups = _Groups.of(mask, train_margin)
    width = bandwidth(len(mask))
    value, variance = np.zeros(n_train), np.zeros(n_train)
    sds = [np.sqrt(moderated(groups.variance[side], groups.count[side] - 1)) for side in (0, 1)]
    for columns, inside, margins in column_blocks(mask, train_margin):
        for side, sign in enumerate((1, -1)):
            mean, sd = groups.mean[side][columns], np.maximum(sds[side][columns], _LEAST_SD)
            low, high = groups.bounds[side][:, columns]
            clipped = np.clip(margins, low, high)
            # not clipped: an outlier on the other side of 0 is a prediction that differs
            probability, slope = _probability(margins, mean, sd, width)
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
    found = np.asarray(values)
    if found.ndim != 2 or found.dtype.kind != "f" or not all(np.isfinite(x).all() for x in found):
        raise ValueError(
            f"{name} ({found.dtype} {found.shape}) must be floats (models, examples), without NaN "
            "and infinity"
        )
    return found


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
        found = cls(
            np.stack([n_in, len(mask) - n_in]),
            np.empty((2, n)),
            np.empty((2, n)),
            np.empty((2, 2, n)),
        )
        for columns, inside, block in column_blocks(mask, margins):
            for side, member in enumerate((inside, ~inside)):
                count = found.count[side][columns]
                middle = _masked_median(block, member, count)
                spread = _MAD_TO_SD * _masked_median(np.abs(block - middle), member, count)
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


def influence_from_margins(
    mask: np.ndarray,
    test_margin: np.ndarray,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
) -> Iterator[InfluenceBlock]:
    """Estimate the influence of training examples on the test examples of their class.

    The margin of each test example is regressed on the inclusion of the training examples of its
    class. Those whose t value exceeds 3.5 enter the regression one by one, so that a strong
    influence does not spill over to examples that were in and out together with it. The influence
    is the coefficient of an example, given those that entered, in the regression of the smoothed
    probability of a correct prediction.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (n_models, n_train)
        Whether the model was trained on the example; or packed along the last axis.
    test_margin : numpy.ndarray of float, shape (n_models, n_test)
        Logit of the true class minus the largest other logit.
    train_labels, test_labels : numpy.ndarray of int
        Classes, shapes (n_train,) and (n_test,).

    Yields
    ------
    InfluenceBlock
        One per class. `z` is the evidence for the influence in standard errors, from the regression
        of the margins, corrected for the spread of the t values of all other examples. All are NaN
        for an example that is in all subsets, in none, or always with examples that entered.

    Raises
    ------
    ValueError
        If the shapes differ, or a margin is not finite.

    References
    ----------
    Feldman and Zhang (2020), section 2, for the quantity; MacKinnon and White (1985) for the
    standard errors (HC3).
    """
    train_labels = class_labels(train_labels, "train_labels")
    test_labels = class_labels(test_labels, "test_labels")
    mask = packed(mask, len(train_labels), "mask")
    test_margin = check_finite("test_margin", test_margin)
    if test_margin.shape != (len(mask), len(test_labels)):
        raise ValueError(
            f"test_margin has shape {test_margin.shape}; mask and labels say "
            f"({len(mask)}, {len(test_labels)})"
        )
    for label in np.unique(train_labels):
        train_index = np.flatnonzero(train_labels == label)
        test_index = np.flatnonzero(test_labels == label)
        inside = bits.unpack_columns(mask, train_index)
        margins = test_margin[:, test_index].astype(np.float64)
        found = _Regression(inside, margins).influence()
        influence, se, z = (values.astype(np.float32) for values in found)
        yield InfluenceBlock(int(label), train_index, test_index, influence, se, z)


class _Regression:
    """Regressions of the margins of b test examples on the inclusion of a training examples.

    Every test example has predictors of its own, chosen by forward selection; all steps are matrix
    products over all test examples. Predictors and margins are centred. `size` (b,) counts the
    entered predictors, `entered` (most, b) holds them in order, -1 behind the last.
    """

    def __init__(self, inside: np.ndarray, margins: np.ndarray):
        self.models, self.n_train = inside.shape
        self.n_test = margins.shape[1]
        self.most = min(MOST_ENTERED, self.models // 15)
        self.predictors = inside - inside.mean(axis=0)
        self.margins = margins
        self.residual = margins - margins.mean(axis=0)
        shape = (self.n_train, self.n_test)
        self.is_entered = np.zeros(shape, dtype=bool)
        self.entered = np.full((self.most, self.n_test), -1)
        self.size = np.zeros(self.n_test, dtype=np.int64)
        # sum of squares of each predictor after projecting out those that entered
        squares = (self.predictors**2).sum(axis=0)
        self.left = np.repeat(squares[:, None], self.n_test, axis=1)
        self.basis = np.zeros((self.most, self.models, self.n_test))
        self.cross = self.predictors.T @ self.residual
        self.rss = (self.residual**2).sum(axis=0)
        self.least = 1e-6 * squares[:, None]  # of `left`, to be told apart from those entered
        self._select()

    def _select(self) -> None:
        """Let the predictor of the largest |t| enter, as long as it exceeds `ENTER`."""
        loadings: list[np.ndarray] = []
        active = np.arange(self.n_test)
        for step in range(self.most):
            with np.errstate(divide="ignore", invalid="ignore"):
                gain = self.cross[:, active] ** 2 / self.left[:, active]
                rest = np.maximum(self.rss[active] - gain, 1e-12)
                squared_t = gain * (self.models - step - 2) / rest
            squared_t[self.is_entered[:, active] | (self.left[:, active] <= self.least)] = 0
            best = squared_t.argmax(axis=0)
            enters = squared_t[best, np.arange(len(active))] > ENTER**2
            active, chosen = active[enters], best[enters]
            if not len(active):
                return
            direction = self.predictors[:, chosen].copy()
            for earlier in range(step):
                loading = loadings[earlier][chosen, active]
                direction -= self.basis[earlier][:, active] * loading
            direction /= np.linalg.norm(direction, axis=0)
            loading = np.zeros((self.n_train, self.n_test))
            loading[:, active] = self.predictors.T @ direction
            loadings.append(loading)
            self.basis[step][:, active] = direction
            residual = self.residual[:, active]
            residual -= direction * (direction * residual).sum(axis=0)
            self.residual[:, active] = residual
            self.entered[step, active] = chosen
            self.is_entered[chosen, active] = True
            self.size[active] += 1
            self.left[:, active] -= loading[:, active] ** 2
            self.cross[:, active] = self.predictors.T @ residual
            self.rss[active] = (residual**2).sum(axis=0)

    def influence(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return influence, its standard error and z, float64 (a, b) each."""
        freedom = self.models - self.size - 2
        unknown = ~self.is_entered & (self.left <= self.least)
        left = np.where(unknown, np.nan, self.left)
        sd = np.maximum(np.sqrt(self.rss / (freedom + 1)), _LEAST_SD)
        fitted = self.margins - self.residual
        correct, slopes = _probability(self.margins, fitted, sd, bandwidth(self.models))
        # the fitted mean enters every probability: its error counts as well
        slope = slopes.mean(axis=0)
        residual = correct - correct.mean(axis=0)
        for direction in self.basis:
            residual -= direction * (direction * residual).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = self.cross**2 / left
            rest = np.maximum(self.rss - gain, 1e-12)
            t = np.sign(self.cross) * np.sqrt(gain * freedom / rest)
            cross = self.predictors.T @ residual
            influence = cross / left
            rest = np.maximum((residual**2).sum(axis=0) - cross * influence, 1e-12)
            se = np.sqrt(rest / freedom / left)
            inflation = _inflation(np.where(self.is_entered, np.nan, influence / se))
        self._entered(influence, se, t, correct, residual + slope * self.residual)
        n_in = (self.predictors > 0).sum(axis=0)
        with np.errstate(divide="ignore"):
            least = np.sqrt(UNSEEN * (1 / n_in**2 + 1 / (self.models - n_in) ** 2))
        se = np.maximum(se * inflation, least[:, None])
        z = _normal_score(t / _inflation(np.where(self.is_entered, np.nan, t)), freedom)
        return influence, se, z

    def _entered(
        self,
        influence: np.ndarray,
        se: np.ndarray,
        t: np.ndarray,
        correct: np.ndarray,
        error: np.ndarray,
    ) -> None:
        """Fill in the entered predictors: coefficients given each other, HC3 standard errors."""
        for size in range(1, self.most + 1):
            tests = np.flatnonzero(self.size == size)
            if not len(tests):
                continue
            chosen = self.entered[:size, tests].T  # (tests, size)
            x = self.predictors[:, chosen].transpose(1, 0, 2)  # (tests, models, size)
            inverse = np.linalg.inv(x.transpose(0, 2, 1) @ x)
            weights = x @ inverse
            leverage = 1 / self.models + (x * weights).sum(axis=2)
            on_margin = np.einsum("tms,mt->ts", weights, self.margins[:, tests])
            variance = np.maximum(self.rss[tests], 1e-12) / (self.models - size - 1)
            diagonal = np.diagonal(inverse, axis1=1, axis2=2)
            at = chosen, tests[:, None]
            t[at] = on_margin / np.sqrt(diagonal * variance[:, None])
            influence[at] = np.einsum("tms,mt->ts", weights, correct[:, tests])
            rest = 1 - leverage
            # a model that is fitted exactly says nothing of the error
            scaled = np.where(rest < 1e-9, 0, error[:, tests].T / np.maximum(rest, 1e-9))
            se[at] = np.sqrt(np.einsum("tms,tm->ts", weights**2, scaled**2))


def _inflation(ratios: np.ndarray) -> np.ndarray:
    """Return how much wider than a standard normal the ratios of a column spread, at least 1."""
    ratios = np.where(np.isnan(ratios).all(axis=0), 0.0, ratios)
    middle = np.nanmedian(ratios, axis=0)
    spread = _MAD_TO_SD * np.nanmedian(np.abs(ratios - middle), axis=0)
    return np.asarray(np.maximum(1, spread))


def _normal_score(t: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Map t values to the z of the same tail probability (Wallace 1959, corrected form)."""
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    return np.asarray(np.sign(t) * scale * np.sqrt(freedom * np.log1p(t**2 / freedom)))
