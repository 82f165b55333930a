"""Audit privacy: can an attacker tell which examples a model was trained on?

The likelihood-ratio attack (LiRA; Carlini et al. 2022, "Membership Inference Attacks From First
Principles") on the subset models of a study. The models of a balanced block take turns as targets;
the models of all other blocks are the attacker's shadow models, so no target contributes to the
distributions by which it is attacked.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy  # scipy.stats is imported when it is used: it takes a second

from memaudit import bits
from memaudit.models.removals import example_indices
from memaudit.results.statistics import TAILS
from memaudit.scores.estimate import packed
from memaudit.scores.margins import check_finite, column_blocks
from memaudit.seeds import generator
from memaudit.tables import Rows, column

ATTACKS = ("online", "offline")
FALSE_POSITIVE_RATES = (0.001, 0.01)
BOOTSTRAP = 200  # draws of target blocks and examples
MOST_SCORES = 5_000_000  # pairs of a target and an example; beyond, examples are thinned out evenly
_LEAST_VARIANCE = 1e-6
_EXAMPLES = 1000  # ranked at a time
_THRESHOLDS = 60  # candidates for the bound of epsilon


@dataclass(frozen=True)
class Leakage:
    """How much an attack reveals about a group of training examples: one row of privacy.csv."""

    attack: str
    """online: shadow models trained with and without the example; offline: only those without it"""
    group: str
    """training examples attacked: all, or those of a bucket"""
    n_examples: int
    """number of these examples"""
    n_models: int
    """number of target models"""
    quantity: str
    """auc: area under the ROC curve (chance: 0.5). tpr_at_0.001, tpr_at_0.01: true-positive
    rate at that false-positive rate (chance: the same). epsilon: lower bound, at 95%
    confidence, of the epsilon of differential privacy (chance: 0); threshold and bound come
    from different target models, and pairs of a model and an example count as independent.
    rank_correlation: Spearman's correlation of the attack's AUC on each example with its
    memorization"""
    value: float = column(digits=".4g")
    """estimate"""
    low: float = column(digits=".4g")
    """lower bound of the 95% CI (bootstrap over target blocks and training examples)"""
    high: float = column(digits=".4g")
    """upper bound of the 95% CI"""


@dataclass(frozen=True)
class ExampleLeakage:
    """Row of privacy_examples.csv."""

    example: int
    """training example; index"""
    memorization: float = column(digits=".6g")
    """as in `selected_pairs.csv`; fraction"""
    vulnerability: float = column(digits=".4g")
    """AUC of the online attack on this example over the target models; 0.5 is chance; 0 to 1"""
    bucket: str = column()
    """its bucket, as in `buckets.csv`; empty if it is not selected"""


@dataclass(frozen=True)
class MembershipAttack:
    """Scores of an attack: the larger, the likelier the example was in the training set.

    `score` float32 and `member` bool have shape (n_models, n_train), `block` int64 (n_models,) is
    the balanced block of each target model. Where there are too few shadow models, `score` is NaN:
    these pairs are left out of all results, and `n_unscored` counts them.
    """

    attack: str
    score: np.ndarray
    member: np.ndarray
    block: np.ndarray

    @property
    def n_unscored(self) -> int:
        """The number of pairs of a model and an example without a score."""
        return int(np.isnan(self.score).sum())

    def roc(self, examples: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return false-positive and true-positive rates by falling threshold, pooled over targets.

        `examples`, indices or a mask, restricts them to some training examples.
        """
        member, *_ = self._ordered(examples)
        return (~member).cumsum() / (~member).sum(), member.cumsum() / member.sum()

    def vulnerability(self) -> np.ndarray:
        """Return the AUC of the attack on each example over the target models, float64 (n_train,).

        NaN where an example is in the training set of every target, or of none.
        """
        n = self.score.shape[1]
        n_in, n_out, above = np.empty(n), np.empty(n), np.empty(n)
        for first in range(0, n, _EXAMPLES):
            columns = slice(first, first + _EXAMPLES)
            score, member = self.score[:, columns], self.member[:, columns]
            known = ~np.isnan(score)
            # NaN ranks last, so it changes no other rank
            ranks = scipy.stats.rankdata(np.where(known, score, np.inf), axis=0)
            above[columns] = (ranks * (member & known)).sum(axis=0)
            n_in[columns], n_out[columns] = (
                (member & known).sum(axis=0),
                (~member & known).sum(axis=0),
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((above - n_in * (n_in + 1) / 2) / (n_in * n_out))

    def leakage(
        self,
        groups: Mapping[str, np.ndarray],
        seed: int = 0,
        memorization: np.ndarray | None = None,
    ) -> Rows[Leakage]:
        """Return AUC, true-positive rates and the bound of epsilon, for each group of examples.

        `groups` maps names to training examples, indices or masks (n_train,). The CIs
        draw whole blocks of target models and training examples with replacement: the scores of one
        example share shadow models.
        `memorization` (n_train,) adds its rank correlation with the vulnerability.
        """
        rows: Rows[Leakage] = Rows(Leakage)
        for name, group in groups.items():
            examples = example_indices(group, self.score.shape[1])
            examples = examples[~np.isnan(self.score).all(axis=0)[examples]]
            if len(examples):
                found = self._quantities(examples, seed)
                if memorization is not None:
                    pair = self.vulnerability()[examples], memorization[examples]
                    found.append(("rank_correlation", *rank_correlation(*pair, seed)))
                counts = len(examples), len(self.member)
                rows += [
                    Leakage(self.attack, name, *counts, quantity, value, low, high)
                    for quantity, value, low, high in found
                ]
        return rows

    def _ordered(self, examples: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return membership, block and position among the examples of pairs, by falling score."""
        n = self.score.shape[1]
        chosen = np.arange(n) if examples is None else example_indices(examples, n)
        step = max(1, -(-len(chosen) * len(self.score) // MOST_SCORES))
        chosen = chosen[::step]
        score = self.score[:, chosen]
        order = np.argsort(-score, axis=None, kind="stable")  # NaN last
        order = order[: score.size - np.isnan(score).sum()]
        model, position = np.divmod(order, len(chosen))
        return self.member[:, chosen].ravel()[order], self.block[model], position

    def _quantities(self, examples: np.ndarray, seed: int) -> list[tuple[str, float, float, float]]:
        member, block, position = self._ordered(examples)
        names = ["auc", *(f"tpr_at_{rate:g}" for rate in FALSE_POSITIVE_RATES)]
        values = _rates(member, np.ones(len(member)))
        sizes = int(self.block[-1]) + 1, int(position.max()) + 1
        rng = generator(seed, "bootstrap", *sizes)
        drawn = []
        for _ in range(BOOTSTRAP):
            blocks, chosen = (np.bincount(rng.integers(n, size=n), minlength=n) for n in sizes)
            drawn.append(_rates(member, blocks[block] * chosen[position]))
        low, high = np.nanquantile(drawn, TAILS, axis=0)
        rows = [
            (name, float(v), float(a), float(b))
            for name, v, a, b in zip(names, values, low, high, strict=True)
        ]
        nan = np.nan
        return [*rows, ("epsilon", _epsilon(member, block % 2 == 0), nan, nan)]


def rank_correlation(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Return Spearman's correlation and its 95% CI by a bootstrap over examples; NaN if few."""
    known = ~np.isnan(x + y)
    x, y = x[known], y[known]
    if len(x) < 3 or min(np.ptp(x), np.ptp(y)) == 0:
        return (np.nan,) * 3
    rng = generator(seed, "bootstrap", len(x))
    draws = (rng.integers(len(x), size=len(x)) for _ in range(BOOTSTRAP))
    x, y = scipy.stats.rankdata(x), scipy.stats.rankdata(y)
    with np.errstate(invalid="ignore"):
        drawn = [np.corrcoef(x[draw], y[draw])[0, 1] for draw in draws]
    low, high = np.nanquantile(drawn, TAILS)
    return float(np.corrcoef(x, y)[0, 1]), float(low), float(high)


def example_rows(
    attack: MembershipAttack, memorization: np.ndarray, buckets: Mapping[int, str]
) -> Rows[ExampleLeakage]:
    """Return the rows of privacy_examples.csv; `buckets` maps selected examples to buckets."""
    vulnerability = attack.vulnerability().tolist()
    rows = enumerate(zip(memorization.tolist(), vulnerability, strict=True))
    return Rows(ExampleLeakage, (ExampleLeakage(i, m, v, buckets.get(i, "")) for i, (m, v) in rows))


def _rates(member: np.ndarray, weight: np.ndarray) -> list[float]:
    """Return AUC and the true-positive rates, of weighted pairs by falling score."""
    hits = np.cumsum(weight * member)
    alarms = np.cumsum(weight * ~member)
    if not (hits[-1] and alarms[-1]):
        return [np.nan] * (1 + len(FALSE_POSITIVE_RATES))
    area = float((weight * ~member * hits).sum() / (hits[-1] * alarms[-1]))
    at = np.searchsorted(alarms, np.array(FALSE_POSITIVE_RATES) * alarms[-1], side="right")
    tpr = np.where(at > 0, hits[np.maximum(at, 1) - 1], 0) / hits[-1]
    return [area, *tpr.tolist()]


def _epsilon(member: np.ndarray, choosing: np.ndarray) -> float:
    """Return a lower bound of epsilon at 95% confidence, 0 where none above 0 is shown.

    A training that is epsilon-differentially private keeps TPR <= e^epsilon FPR at any threshold.
    The threshold is the best one on the target models `choosing` (bool, by pair); on the others the
    TPR is bounded below and the FPR above (Clopper & Pearson 1934), each at 97.5%.
    """
    chosen, rest = member[choosing], member[~choosing]
    if not chosen.any() or chosen.all() or not rest.any() or rest.all():
        return np.nan
    cuts = np.unique(np.geomspace(1, len(member), _THRESHOLDS).astype(int))
    best = max(cuts, key=lambda cut: _epsilon_at(member[:cut][choosing[:cut]], chosen))
    return max(0.0, _epsilon_at(member[:best][~choosing[:best]], rest))


def _epsilon_at(called: np.ndarray, everyone: np.ndarray) -> float:
    """Return the bound of epsilon where the pairs `called` are called members."""
    hits, alarms = int(called.sum()), int((~called).sum())
    members, others = int(everyone.sum()), int((~everyone).sum())
    if not hits:
        return 0.0
    tail = TAILS[0]
    tpr = scipy.stats.beta.ppf(tail, hits, members - hits + 1)
    fpr = 1.0 if alarms == others else scipy.stats.beta.ppf(1 - tail, alarms + 1, others - alarms)
    return float(np.log(tpr / fpr))


def lira(
    mask: np.ndarray, log_odds: np.ndarray, attack: str = "online", block_size: int = 10
) -> MembershipAttack:
    """Attack every subset model with the models of all other balanced blocks as shadow models.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (n_models, n_train)
        Whether the model was trained on the example; or packed along the last axis.
    log_odds : numpy.ndarray of float, shape (n_models, n_train)
        log(p / (1 - p)) of the probability p that the model gives to the example's label; finite.
    attack : {"online", "offline"}
        Whether the shadow models trained with the example are used as well.
    block_size : int
        Consecutive models that form a balanced block.

    Returns
    -------
    MembershipAttack
        The scores of all targets, with `leakage`, `roc` and `vulnerability`. NaN where fewer than
        two shadow models lack the example or, for the online attack, have it.

    Raises
    ------
    ValueError
        If the shapes differ, log-odds are not finite, the attack is unknown, there are fewer than
        three blocks, or no pair of a model and an example has enough shadow models.

    References
    ----------
    Carlini et al. (2022), algorithm 1 (online) and section VI (offline), with a variance for each
    example.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> mask = rng.random((40, 50)) < 0.7
    >>> log_odds = rng.normal(4.0 * mask)
    >>> bool(lira(mask, log_odds).leakage({"all": np.arange(50)})[0].value > 0.9)
    True
    """
    log_odds = check_finite("log_odds", log_odds)
    models, n_train = log_odds.shape
    mask = packed(mask, n_train, "mask")
    if len(mask) != models:
        raise ValueError(f"mask has {len(mask)} models, log_odds has {models}")
    if attack not in ATTACKS:
        raise ValueError(f"attack is {attack!r}; it can be {' or '.join(ATTACKS)}")
    block = np.arange(models) // block_size
    if block[-1] < 2:
        raise ValueError(
            f"{models} models are fewer than three blocks of {block_size}: too few for targets and "
            "shadow models"
        )
    score = np.empty((models, n_train), dtype=np.float32)
    for columns, member, values in column_blocks(mask, log_odds):
        totals = _Moments.of(values, member)
        for first in range(0, models, block_size):
            targets = slice(first, first + block_size)
            shadows = totals.without(_Moments.of(values[targets], member[targets]))
            score[targets, columns] = _log_ratio(values[targets], shadows, attack)
    if np.isnan(score).all():
        raise ValueError("no example has two shadow models with it and two without it")
    return MembershipAttack(attack, score, bits.unpack(mask, n_train), block)


def _log_ratio(values: np.ndarray, shadows: "_Moments", attack: str) -> np.ndarray:
    """Score the log-odds of targets, (targets, n): the larger, the likelier a member."""
    mean, variance = shadows.gaussian(1)
    if attack == "offline":
        return np.asarray((values - mean) / np.sqrt(variance))
    outside = -((values - mean) ** 2) / variance - np.log(variance)
    mean, variance = shadows.gaussian(0)
    return np.asarray((-((values - mean) ** 2) / variance - np.log(variance) - outside) / 2)


@dataclass(frozen=True)
class _Moments:
    """Counts, sums and sums of squares of log-odds with [0] and without [1] each example."""

    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, inside: np.ndarray) -> "_Moments":
        groups = (inside, ~inside)
        return cls(
            np.stack([group.sum(axis=0) for group in groups]),
            np.stack([(values * group).sum(axis=0) for group in groups]),
            np.stack([(values**2 * group).sum(axis=0) for group in groups]),
        )

    def without(self, part: "_Moments") -> "_Moments":
        return _Moments(
            self.count - part.count, self.total - part.total, self.squares - part.squares
        )

    def gaussian(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each example's log-odds; NaN of fewer than two models."""
        count = np.where(self.count[side] > 1, self.count[side], np.nan)
        mean = self.total[side] / count
        variance = self.squares[side] / count - mean**2
        return mean, np.maximum(variance, _LEAST_VARIANCE)
