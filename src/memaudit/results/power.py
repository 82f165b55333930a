"""How many models a question takes, and what no number of models can answer.

Two arms of `models` models each are compared by the tests and CIs of `memaudit.results.statistics`:
paired by trial. `sd` is the standard deviation of the difference within a trial, percentage points.
`images` is what test-set sampling adds to the difference, (variance, degrees of freedom) as
`image_part` gives it; without it (`FIXED_TEST_SET`) the test images are given. The answers take all
this as known: the true sd is 0.71 to 1.70 times one measured on a dozen models (95%), and so the
models needed are 0.5 to 2.9 times as many.
"""

from collections.abc import Callable

import numpy as np
from scipy import special

from memaudit.results.statistics import (
    LEVEL,
    TAILS,
    Arm,
    normal_quantile,
    sum_of_parts,
    t_quantile,
)
from memaudit.results.two_way import image_part

POWER = 0.8
MOST_MODELS = 10**9  # a question that takes more is taken for one that models cannot answer
FIXED_TEST_SET = (0.0, 1.0)


def _error(
    sd: float, models: float, images: tuple[float, float] = FIXED_TEST_SET
) -> tuple[float, float]:
    """Return the standard error of a paired difference of means and its degrees of freedom."""
    return sum_of_parts([(sd**2 / models, models - 1), images])


def half_width(sd: float, models: int) -> float:
    """Return half the width of a drop's CI on the fixed test set; NaN for one model per arm."""
    if models < 2 or not sd:
        return np.nan if models < 2 else 0.0
    se, df = _error(sd, models)
    return t_quantile(TAILS[1], df) * se


def power(
    sd: float,
    models: int,
    difference: float,
    images: tuple[float, float] = FIXED_TEST_SET,
    rows: int = 1,
) -> float:
    """Return the probability that the two-sided test finds a true difference, with its sign.

    Of `rows` rows that are adjusted together, as if no other differed (Holm's first step); where
    others do, the probability is higher.
    """
    if models < 2:
        return 0.0
    se, df = _error(sd, models, images)
    if not se:
        return float(difference != 0)
    bound = t_quantile(1 - (1 - LEVEL) / 2 / rows, df)
    return float(1 - special.nctdtr(df, abs(difference) / se, bound))


def equivalence_power(sd: float, models: int, margin: float, n_test: int) -> float:
    """Return the probability that TOST shows equivalence within `margin` where nothing differs.

    No difference on any of the `n_test` test images: the estimate varies with the models only,
    while the test counts the images as `Estimate.se_at` says.
    """
    if models < 2:
        return 0.0
    of_models, _ = _error(sd, models)
    se, df = _error(sd, models, (margin * (100 - margin) / n_test, n_test - 1))
    room = margin - t_quantile(LEVEL, df) * se
    if room <= 0 or not of_models:
        return float(room > 0)
    return float(2 * special.ndtr(room / of_models) - 1)


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """Return the smallest number of models, from 2, that is enough; None beyond `MOST_MODELS`."""
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


def models_for_half_width(sd: float, wanted: float) -> int | None:
    """Return the models per arm for a CI of a drop of at most ± `wanted` pp."""
    return _fewest(lambda models: half_width(sd, models) <= wanted)


def models_for_power(
    sd: float,
    difference: float,
    images: tuple[float, float] = FIXED_TEST_SET,
    rows: int = 1,
) -> int | None:
    """Return the models per arm to find a true difference with 80% power; None if none do."""
    return _fewest(lambda models: power(sd, models, difference, images, rows) >= POWER)


def models_for_equivalence(sd: float, margin: float, n_test: int) -> int | None:
    """Return the models per arm to show equivalence within `margin` with 80% power."""
    return _fewest(lambda models: equivalence_power(sd, models, margin, n_test) >= POWER)


def image_floor(images: tuple[float, float]) -> float:
    """Return the half-width of a CI including test-set sampling with infinitely many models.

    Percentage points. More test images would make it smaller, more models would not.
    """
    variance, df = images
    return t_quantile(TAILS[1], df) * float(np.sqrt(variance))


def images_of(full: Arm, reduced: Arm) -> tuple[float, float]:
    """Return what test-set sampling adds to the difference of two arms: `image_part` of it.

    Zero where it is unknown: with one model per arm or fewer than two test images.
    """
    if min(len(full.correct), len(reduced.correct), full.correct.shape[1]) < 2:
        return FIXED_TEST_SET
    return image_part([(1, full), (-1, reduced)])


def images_at(
    difference: float, images: tuple[float, float], measured: float, n_test: int
) -> tuple[float, float]:
    """Return what sampling `n_test` images adds to a true difference, from what it adds to another.

    Both differences in percentage points, the results (variance, degrees of freedom). A smaller one
    is taken for one of fewer test images that lose as much each, so the variance shrinks with it;
    at most it is that of images that every model loses, 100^2 d (1 - d) / n_test.
    """
    variance, df = images
    share = abs(difference) / 100
    most = 100**2 * share * (1 - share) / n_test
    scaled = variance * abs(difference / measured) if measured else most
    return min(scaled, most), df


def memorization_half_width(
    models: int, fraction: float, p_in: float = 0.5, p_out: float = 0.5
) -> float:
    """Return half the width of the CI of one memorization score; by default at its worst.

    1.96 sqrt(p_in (1 - p_in) / n_in + p_out (1 - p_out) / n_out), where an example is in n_in =
    `fraction` x `models` of them; p_in, p_out are the probabilities of being right with and without
    it. At one half each this is 1.96 sqrt(1 / (4 n_in) + 1 / (4 n_out)).
    """
    n_in = fraction * models
    variance = p_in * (1 - p_in) / n_in + p_out * (1 - p_out) / (models - n_in)
    return normal_quantile(TAILS[1]) * float(np.sqrt(variance))


def models_for_memorization(
    wanted: float, fraction: float, p_in: float = 0.5, p_out: float = 0.5
) -> int:
    """Return the subset models for a CI of one memorization score of ± `wanted`."""
    return int(np.ceil((memorization_half_width(1, fraction, p_in, p_out) / wanted) ** 2 - 1e-9))


def models_for_measured(wanted: float, se: float, models: int) -> int:
    """Return the same for an example whose standard error is `se` with `models` models."""
    width = normal_quantile(TAILS[1]) * se
    return int(np.ceil(models * (width / wanted) ** 2 - 1e-9))
