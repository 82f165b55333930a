"""How many models a question takes, and what no number of models can give.

Accuracies are in percent, differences in percentage points. Two arms of `models` models each are
compared by t tests and intervals as in `memaudit.results.statistics`; `sds` are the standard
deviations of their test accuracies over models. `images` is what the choice of test images adds to
the difference, (variance, degrees of freedom) as `image_part` gives it: with it the tests are those
behind Table 2's verdicts, without it (`THESE_IMAGES`) Welch's, for the test images at hand. The
answers take all this as known: the true sd is 0.71 to 1.70 times one measured on a dozen models
(95 %), and so the models needed are 0.5 to 2.9 times as many.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from memaudit.results.statistics import LEVEL, Arm, image_part, sum_of_parts

POWER = 0.8
MOST_MODELS = 10**9  # a question that takes more is taken for one that models cannot answer
THESE_IMAGES = (0.0, 1.0)


def _error(
    sds: tuple[float, float], models: float, images: tuple[float, float] = THESE_IMAGES
) -> tuple[float, float]:
    """(standard error, degrees of freedom) of the difference of two arms' means."""
    return sum_of_parts([*((sd**2 / models, models - 1) for sd in sds), images])


def half_width(sds: tuple[float, float], models: int, level: float = LEVEL) -> float:
    """Half the width of the interval of a drop over models; NaN for one model an arm."""
    if models < 2 or not any(sds):
        return float("nan") if models < 2 else 0.0
    se, freedom = _error(sds, models)
    return float(stats.t.ppf((1 + level) / 2, freedom) * se)


def power(
    sds: tuple[float, float],
    models: int,
    drop: float,
    images: tuple[float, float] = THESE_IMAGES,
    rows: int = 1,
    level: float = LEVEL,
) -> float:
    """Probability that the two-sided test finds a true `drop`, and with the right sign.

    Of `rows` rows that are adjusted together, as if no other showed a drop (Holm's first step);
    where others do, the probability is higher.
    """
    if models < 2:
        return 0.0
    se, freedom = _error(sds, models, images)
    if not se:
        return float(drop != 0)
    bound = stats.t.isf((1 - level) / 2 / rows, freedom)
    return float(stats.nct.sf(bound, freedom, abs(drop) / se))


def equivalence_power(
    sds: tuple[float, float],
    models: int,
    margin: float,
    n_test: int,
    level: float = LEVEL,
) -> float:
    """Probability that no drop is shown to be smaller than `margin` (TOST), where there is none.

    None on any of the `n_test` test images: the drop that is found varies with the models only, the
    test counts the images as `Estimate.se_at` says.
    """
    if models < 2:
        return 0.0
    of_models, _ = _error(sds, models)
    se, freedom = _error(sds, models, (margin * (100 - margin) / n_test, n_test - 1))
    room = margin - float(stats.t.ppf(level, freedom)) * se
    if room <= 0 or not of_models:
        return float(room > 0)
    return float(2 * stats.norm.cdf(room / of_models) - 1)


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number of models, from 2, that is enough; None beyond `MOST_MODELS`."""
    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_MODELS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(high, 2)


def models_for_half_width(sds: tuple[float, float], wanted: float) -> int | None:
    """Models an arm for an interval of the drop no wider than `wanted` percentage points a side."""
    return _fewest(lambda models: half_width(sds, models) <= wanted)


def models_for_power(
    sds: tuple[float, float],
    drop: float,
    images: tuple[float, float] = THESE_IMAGES,
    rows: int = 1,
    wanted: float = POWER,
) -> int | None:
    """Models an arm to see a true `drop` with probability `wanted`; None where no number does."""
    return _fewest(lambda models: power(sds, models, drop, images, rows) >= wanted)


def models_for_equivalence(
    sds: tuple[float, float],
    margin: float,
    n_test: int,
    wanted: float = POWER,
) -> int | None:
    """Models an arm to show a drop of 0 to be smaller than `margin`, with probability `wanted`."""
    return _fewest(lambda models: equivalence_power(sds, models, margin, n_test) >= wanted)


def image_floor(images: tuple[float, float], level: float = LEVEL) -> float:
    """Half-width of a drop's interval for other test images, with infinitely many models.

    Percentage examples. What more test images would make smaller, and more models would not.
    """
    variance, freedom = images
    return float(stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance))


def images_of(full: Arm, reduced: Arm) -> tuple[float, float]:
    """What the choice of test images adds to the drop between two arms: `image_part` of it.

    Nothing where there is one model an arm or fewer than two test images: it is not known then.
    """
    if min(len(full.correct), len(reduced.correct), full.correct.shape[1]) < 2:
        return THESE_IMAGES
    return image_part([(1, full), (-1, reduced)])


def images_at(
    drop: float, images: tuple[float, float], measured: float, n_test: int
) -> tuple[float, float]:
    """What the choice of `n_test` images adds to a true `drop`, from what it adds to `measured`.

    Both drops in percentage points, the results (variance, degrees of freedom). A smaller drop is
    taken for one of fewer test images that lose as much each, so the variance shrinks with it; at
    most it is that of images that are lost by every model, 100^2 d (1 - d) / n_test.
    """
    variance, freedom = images
    part = abs(drop) / 100
    most = 100**2 * part * (1 - part) / n_test
    scaled = variance * abs(drop / measured) if measured else most
    return min(scaled, most), freedom


def memorization_half_width(
    models: int, fraction: float, p_in: float = 0.5, p_out: float = 0.5, level: float = LEVEL
) -> float:
    """Half the width of the interval of one memorization score; by default at its worst.

    1.96 sqrt(p_in (1 - p_in) / n_in + p_out (1 - p_out) / n_out), where an example is in n_in =
    `fraction` x `models` of them; p_in, p_out are the probabilities of being right with and without
    it. At one half each this is 1.96 sqrt(1 / (4 n_in) + 1 / (4 n_out)).
    """
    n_in = fraction * models
    variance = p_in * (1 - p_in) / n_in + p_out * (1 - p_out) / (models - n_in)
    return float(stats.norm.ppf((1 + level) / 2) * np.sqrt(variance))


def models_for_memorization(
    wanted: float, fraction: float, p_in: float = 0.5, p_out: float = 0.5
) -> int:
    """Subset models for an interval of one memorization score of `wanted` a side."""
    return int(np.ceil((memorization_half_width(1, fraction, p_in, p_out) / wanted) ** 2 - 1e-9))


def models_for_measured(wanted: float, se: float, models: int, level: float = LEVEL) -> int:
    """The same for an example whose standard error is `se` with `models` models."""
    width = stats.norm.ppf((1 + level) / 2) * se
    return int(np.ceil(models * (width / wanted) ** 2 - 1e-9))
