"""Estimate influence from the margins of models, with fewer models.

The quantity and the smoothing are those of `memaudit.scores.margins`.
"""

from collections.abc import Iterator

import numpy as np

from memaudit import bits
from memaudit.scores.estimate import InfluenceBlock, class_labels, packed
from memaudit.scores.margins import (
    LEAST_SD,
    MAD_TO_SD,
    UNSEEN,
    bandwidth,
    check_finite,
    smoothed_probability,
)

ENTER = 3.5  # |t| from which a training example enters the regression of a test margin
MOST_ENTERED = 6  # training examples in the regression of one test margin; k / 15 with fewer models


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
    train_labels, test_labels = class_labels(train_labels, test_labels)
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
        sd = np.maximum(np.sqrt(self.rss / (freedom + 1)), LEAST_SD)
        fitted = self.margins - self.residual
        correct, slopes = smoothed_probability(self.margins, fitted, sd, bandwidth(self.models))
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
    spread = MAD_TO_SD * np.nanmedian(np.abs(ratios - middle), axis=0)
    return np.asarray(np.maximum(1, spread))


def _normal_score(t: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """Map t values to the z of the same tail probability (Wallace 1959, corrected form)."""
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    return np.asarray(np.sign(t) * scale * np.sqrt(freedom * np.log1p(t**2 / freedom)))
