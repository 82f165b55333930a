"""Judge scores and data attributions of other methods by the subset models of a study.

An attribution says how much each training example contributes to the prediction of each test
example. It is judged by what it predicts for models that were trained on other subsets: the linear
datamodeling score of Park et al. (2023), "TRAK: Attributing Model Behavior at Scale". A score of
each training example is compared with its memorization.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy  # scipy.stats is imported when it is used: it takes a second

from memaudit import bits
from memaudit.errors import AuditError
from memaudit.published.feldman_zhang import read_fz_matrix
from memaudit.published.files import read_arrays
from memaudit.results.statistics import TAILS
from memaudit.scores.estimate import Influence, class_labels, influence_blocks, packed
from memaudit.scores.margin_influence import influence_from_margins
from memaudit.scores.privacy import BOOTSTRAP, rank_correlation
from memaudit.seeds import generator
from memaudit.tables import Rows, column

FOLDS = 5  # sets of models on which predictions are tested, each of whole blocks
OURS = {"margins": influence_from_margins, "difference": influence_blocks}
_TESTS = 1000  # test examples at a time

Attribution = np.ndarray | Influence


@dataclass(frozen=True)
class Judgment:
    """What a score or attribution is worth: one row of external.csv."""

    score: str
    """its name under `external`; `margins`, `difference`: the influence that these
    estimators give here, from the models outside the fold"""
    quantity: str
    """lds: linear datamodeling score of an attribution, the rank correlation over models
    between the margin of a test example and the sum of its attributions to the examples in
    the model's subset; mean over test examples and folds of models. lds_minus_margins (or
    lds_minus_difference, without margins): that minus the one of this study's influence.
    rank_correlation: Spearman's correlation of a score with memorization. overlap: where k
    examples reach `selection.memorization`, the share of them among the k at the end of the
    score that correlates with memorization"""
    models: int | None
    """number of models predicted; empty for scores of examples"""
    examples: int
    """number of test examples (attributions) or training examples (scores)"""
    value: float = column(digits=".4g")
    """estimate"""
    low: float = column(digits=".4g")
    """lower bound of the 95% CI: over folds and test examples, or bootstrap over training
    examples"""
    high: float = column(digits=".4g")
    """upper bound of the 95% CI"""
    chance: float = column(digits=".4g")
    """value of a random score"""


def judge_attributions(
    mask: np.ndarray,
    test_output: np.ndarray,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
    attributions: Mapping[str, Attribution],
    *,
    block_size: int = 10,
) -> Rows[Judgment]:
    """Compare attributions by the linear datamodeling score, with the influence estimated here.

    The models are split into five folds of whole balanced blocks. In each fold, the outputs of the
    models on a test example are ranked, and so are the sums of its attributions to the training
    examples in their subsets; the score is the correlation of the ranks (Spearman). This study's
    influence is estimated from the models of the other folds.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (n_models, n_train)
        Whether the model was trained on the example; or packed along the last axis.
    test_output : numpy.ndarray of float or bool, shape (n_models, n_test)
        Margins of the test examples, or whether they are predicted correctly. Correctness gives
        only the influence of the estimator `difference` for comparison.
    train_labels, test_labels : numpy.ndarray of int
        Classes, shapes (n_train,) and (n_test,).
    attributions : mapping of str to numpy.ndarray of float, shape (n_train, n_test), or Influence
        The attributions by name, other than `margins` and `difference`; `Scores.influence` has
        them within classes. NaN counts as 0.
    block_size : int
        Consecutive models that form a balanced block.

    Returns
    -------
    Rows of Judgment
        `lds` of each attribution and estimator, and how much it differs from this study's
        influence, with 95% CIs.

    Raises
    ------
    ValueError
        If shapes differ, a name is reserved, attributions are not numbers, infinite or only NaN,
        or there are fewer than two blocks of models.

    References
    ----------
    Park et al. (2023), section 2, for the score.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> mask, true = rng.random((40, 50)) < 0.7, rng.normal(size=(50, 8))
    >>> labels = np.zeros(50, int), np.zeros(8, int)
    >>> row = judge_attributions(mask, mask @ true, *labels, {"true": true})[-2]
    >>> row.score, row.quantity, round(row.value, 6)
    ('true', 'lds', 1.0)
    """
    train_labels, test_labels = class_labels(train_labels, test_labels)
    n_train, n_test = len(train_labels), len(test_labels)
    mask, test_output = packed(mask, n_train, "mask"), np.asarray(test_output)
    if test_output.shape != (len(mask), n_test):
        raise ValueError(
            f"test_output has shape {test_output.shape}; mask and labels say {(len(mask), n_test)}"
        )
    attributions = {
        name: one if isinstance(one, Influence) else np.asarray(one)
        for name, one in attributions.items()
    }
    for name, one in attributions.items():
        if name in OURS:
            raise ValueError(f"{name}: the name is reserved for this study's influence")
        if isinstance(one, np.ndarray) and one.shape != (n_train, n_test):
            raise ValueError(f"{name} has shape {one.shape}; the labels say {(n_train, n_test)}")
        parts = [one] if isinstance(one, np.ndarray) else [block.influence for block in one]
        if problem := _problem(*parts):
            raise ValueError(f"{name} {problem}")
    block = np.arange(len(mask)) // block_size
    folds = min(FOLDS, block[-1] + 1)
    if folds < 2:
        raise ValueError(f"{len(mask)} models are fewer than two blocks of {block_size}")
    fold = block * folds // (block[-1] + 1)
    ours = [name for name in OURS if name == "difference" or test_output.dtype != bool]
    found: dict[str, list[np.ndarray]] = {name: [] for name in [*ours, *attributions]}
    for number in range(folds):
        tested = fold == number
        inside, output = bits.unpack(mask[tested], n_train), test_output[tested]
        for name in ours:
            known = test_output[~tested]
            known = known > 0 if name == "difference" else known
            here = Influence(OURS[name](mask[~tested], known, train_labels, test_labels))
            found[name].append(_rank_correlations(output, _predicted(inside, here, n_test)))
        for name, one in attributions.items():
            found[name].append(_rank_correlations(output, _predicted(inside, one, n_test)))
    values = {name: np.stack(parts) for name, parts in found.items()}
    rows: Rows[Judgment] = Rows(Judgment)
    for name, each in values.items():
        rows.append(Judgment(name, "lds", len(mask), n_test, *_mean(each), 0.0))
        if name in attributions:
            less = _mean(each - values[ours[0]])
            rows.append(Judgment(name, f"lds_minus_{ours[0]}", len(mask), n_test, *less, np.nan))
    return rows


def _problem(*values: np.ndarray) -> str | None:
    """Return why the values of a score or attribution cannot be judged, or None."""
    if any(one.dtype.kind not in "fiub" for one in values):
        return f"is {values[0].dtype}, not numbers"
    if any(np.isinf(one).any() for one in values) or all(np.isnan(one).all() for one in values):
        return "has infinite values, or only NaN"
    return None


def _predicted(inside: np.ndarray, attribution: Attribution, n_test: int) -> np.ndarray:
    """Return the sums of attributions over the examples in each subset: (models, n_test)."""
    total = np.zeros((len(inside), n_test), dtype=np.float32)
    if isinstance(attribution, np.ndarray):
        subsets = inside.astype(np.float32)
        for first in range(0, n_test, _TESTS):  # copies of a few columns only
            columns = slice(first, first + _TESTS)
            known = np.nan_to_num(attribution[:, columns]).astype(np.float32, copy=False)
            total[:, columns] = subsets @ known
        return total
    for block in attribution:
        chosen = inside[:, block.train_index].astype(np.float32)
        total[:, block.test_index] = chosen @ np.nan_to_num(block.influence)
    return total


def _rank_correlations(actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each column, (n_test,).

    NaN where all outputs are equal; 0 where only the predictions are.
    """
    found = np.empty(actual.shape[1])
    for first in range(0, len(found), _TESTS):
        columns = slice(first, first + _TESTS)
        ranks = [scipy.stats.rankdata(x[:, columns], axis=0) for x in (actual, predicted)]
        a, b = (rank - rank.mean(axis=0) for rank in ranks)
        spread = [(x**2).sum(axis=0) for x in (a, b)]
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (a * b).sum(axis=0) / np.sqrt(spread[0] * spread[1])
        found[columns] = np.where(spread[0] == 0, np.nan, np.where(spread[1] == 0, 0.0, r))
    return found


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over (folds, tests) and its 95% CI, for both drawn at random.

    The variances of the means over folds and over test examples add up to at least that of the
    grand mean; the t quantile is that of the folds.
    """
    values = values[:, ~np.isnan(values).all(axis=0)]
    if not values.size:
        return np.nan, np.nan, np.nan
    variance = sum(
        float(np.nanvar(np.nanmean(values, axis=axis), ddof=1)) / values.shape[1 - axis]
        for axis in (0, 1)
    )
    half = scipy.stats.t.ppf(TAILS[1], len(values) - 1) * np.sqrt(variance)
    mean = float(np.nanmean(values))
    return mean, mean - float(half), mean + float(half)


def judge_scores(
    memorization: np.ndarray,
    scores: Mapping[str, np.ndarray],
    threshold: float = 0.25,
    seed: int = 0,
) -> Rows[Judgment]:
    """Compare scores of training examples with their memorization.

    Parameters
    ----------
    memorization : numpy.ndarray of float, shape (n_train,)
        Memorization of the training examples; NaN where it is unknown.
    scores : mapping of str to numpy.ndarray of float, shape (n_train,)
        The scores by name. Whether high or low values mean memorized is taken from the sign of the
        rank correlation.
    threshold : float
        Memorization from which an example counts as memorized.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    Rows of Judgment
        `rank_correlation` and `overlap` of each score, with 95% CIs (bootstrap over examples).

    Raises
    ------
    ValueError
        If the shapes differ, or scores are not numbers, infinite or only NaN.

    Examples
    --------
    >>> import numpy as np
    >>> memorization = np.linspace(0, 1, 9)
    >>> judge_scores(memorization, {"consistency": 1 - memorization})[0].value
    -1.0
    """
    rows: Rows[Judgment] = Rows(Judgment)
    memorization = np.asarray(memorization, dtype=np.float64)
    for name, given in scores.items():
        score = np.asarray(given)
        if score.shape != memorization.shape:
            raise ValueError(f"{name} has shape {score.shape}; expected {memorization.shape}")
        if problem := _problem(score):
            raise ValueError(f"{name} {problem}")
        score = score.astype(np.float64)
        known = ~np.isnan(score + memorization)
        truth, values = memorization[known], oriented(score, memorization)[known]
        correlation = rank_correlation(score, memorization, seed)
        rows.append(Judgment(name, "rank_correlation", None, len(truth), *correlation, 0.0))
        rng = generator(seed, "bootstrap", len(truth))
        draws = [rng.integers(len(truth), size=len(truth)) for _ in range(BOOTSTRAP)]
        is_memorized = truth >= threshold
        drawn = [_overlap(values[draw], is_memorized[draw]) for draw in draws]
        low, high = np.nanquantile(drawn, TAILS)
        found = (_overlap(values, is_memorized), float(low), float(high))
        rows.append(Judgment(name, "overlap", None, len(truth), *found, float(is_memorized.mean())))
    return rows


def _overlap(values: np.ndarray, is_memorized: np.ndarray) -> float:
    """Return the share of the k memorized examples that are among the k with the highest values.

    Of examples with the value at the cut, it takes the expectation over a random choice.
    """
    k = int(is_memorized.sum())
    if not k:
        return np.nan
    cut = np.partition(values, len(values) - k)[len(values) - k]
    above, tied = values > cut, values == cut
    share = (k - above.sum()) / tied.sum()
    return float((is_memorized[above].sum() + share * is_memorized[tied].sum()) / k)


def oriented(score: np.ndarray, memorization: np.ndarray) -> np.ndarray:
    """Return the score, or its negative if it falls with memorization."""
    known = ~np.isnan(score + memorization)
    ranks = [scipy.stats.rankdata(x[known]) for x in (score, memorization)]
    return np.asarray(-score if np.cov(*ranks)[0, 1] < 0 else score)


def is_per_example(found: Attribution) -> bool:
    """Return whether it is a score of each training example, not an attribution."""
    return isinstance(found, np.ndarray) and found.ndim == 1


def top_examples(found: Attribution, memorization: np.ndarray, count: int) -> list[int]:
    """Return the `count` training examples with the highest score, ascending.

    The score of an attribution is the largest one of the example to a test example, of its class
    where only these are given. Scores that fall with memorization are negated. NaN is lowest.
    """
    if isinstance(found, Influence):
        values = np.full(len(memorization), -np.inf)
        for block in found:
            values[block.train_index] = np.nan_to_num(block.influence, nan=-np.inf).max(
                axis=1, initial=-np.inf
            )
    elif found.ndim == 2:
        values = np.nan_to_num(found, nan=-np.inf).max(axis=1)
    else:
        values = np.nan_to_num(oriented(found, memorization), nan=-np.inf)
    return sorted(np.argsort(-values, kind="stable")[:count].tolist())


def read_external(
    path: str | Path, train_labels: np.ndarray, test_labels: np.ndarray
) -> Attribution:
    """Read scores (n_train,) or attributions (n_train, n_test) of another method.

    An .npy file; an .npz file with the array `scores`, or with one array, and optionally with the
    classes of the training examples (`labels`), which must agree; or an .npz file with the keys of
    F&Z's matrix, whose influence within classes is returned.

    Raises AuditError, naming the file: not such a file, another shape, values that are infinite or
    not numbers, other labels.
    """
    arrays = read_arrays(path)
    if "tr_labels" in arrays:
        return read_fz_matrix(path, train_labels, test_labels).influence
    labels = arrays.pop("labels", None)
    if len(arrays) > 1:
        arrays = {name: array for name, array in arrays.items() if name == "scores"}
    if len(arrays) != 1:
        raise AuditError(f"{path}: no array `scores`, and not a single array")
    (values,) = arrays.values()
    shapes = (len(train_labels),), (len(train_labels), len(test_labels))
    if values.shape not in shapes or values.dtype.kind not in "fiub":
        raise AuditError(
            f"{path}: {values.dtype} {values.shape}; expected numbers of shape {shapes[0]}, one "
            f"per training example, or {shapes[1]}, training x test examples"
        )
    if problem := _problem(values):
        raise AuditError(f"{path}: it {problem}")
    if labels is not None and not np.array_equal(labels, train_labels):
        raise AuditError(
            f"{path}: its labels are not those of the training examples; bring its rows into the "
            "order of the dataset"
        )
    return values.astype(np.float32 if values.ndim == 2 else np.float64)
