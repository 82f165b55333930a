"""Scores from margins are those of the formulas in docs/estimator.md."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import digamma, ndtr, polygamma
from scipy.stats import norm
from test_margins import masks, normal_margins, planted

from memaudit.scores.margin_influence import influence_from_margins
from memaudit.scores.margins import memorization_from_margins


def smoothed(margins, mean, sd, models):
    """Return the probabilities of docs/estimator.md, and their derivative in the mean."""
    h = 0.5 * (max(models, 100) / 100) ** -0.5
    c = np.sqrt(1 + h * h) - 1
    u = (margins + c * mean) / (h * sd)
    return norm.cdf(u), norm.pdf(u) * c / (h * sd)


def by_the_page(x, margins):
    """Estimate the influence on one test example as docs/estimator.md has it, by least squares."""
    k, n = x.shape
    chosen: list[int] = []

    def fit(target, predictors):
        design = np.column_stack([np.ones(k), x[:, predictors]])
        coefficients = np.linalg.lstsq(design, target)[0]
        inverse = np.linalg.inv(design.T @ design)
        residual = target - design @ coefficients
        return design, coefficients, inverse, residual

    def t_value(target, predictors):
        design, coefficients, inverse, residual = fit(target, predictors)
        variance = residual @ residual / (k - design.shape[1])
        se = np.sqrt(inverse[-1, -1] * variance)
        return coefficients[-1], se, coefficients[-1] / se

    while len(chosen) < min(6, k // 15):
        rest = [i for i in range(n) if i not in chosen]
        t = [abs(t_value(margins, [*chosen, i])[2]) for i in rest]
        if max(t) <= 3.5:
            break
        chosen.append(rest[int(np.argmax(t))])
    *_, residual = fit(margins, chosen)
    sd = np.sqrt(residual @ residual / (k - len(chosen) - 1))
    y, slope = smoothed(margins, margins - residual, sd, k)
    influence, se, t = np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        others = [j for j in chosen if j != i]
        t[i] = t_value(margins, [*others, i])[2]
        influence[i], se[i], _ = t_value(y, [*others, i])
        if i in chosen:
            design, _, inverse, of_y = fit(y, [*others, i])
            weight = (design @ inverse)[:, -1]
            leverage = np.einsum("mi,ij,mj->m", design, inverse, design)
            exact = 1 - leverage < 1e-9
            error = np.where(exact, 0, of_y + slope.mean() * residual) / np.where(
                exact, 1, 1 - leverage
            )
            se[i] = np.sqrt((weight**2 * error**2).sum())
    free = [i for i in range(n) if i not in chosen]

    def inflation(ratio):
        return max(1, 1.4826 * np.median(np.abs(ratio - np.median(ratio))))

    n_in, n_out = x.sum(axis=0), (1 - x).sum(axis=0)
    se *= inflation((influence / se)[free])
    se = np.maximum(se, np.sqrt((1 / n_in**2 + 1 / n_out**2) / 3))
    t /= inflation(t[free])
    nu = k - len(chosen) - 2
    z = np.sign(t) * (8 * nu + 1) / (8 * nu + 3) * np.sqrt(nu * np.log(1 + t**2 / nu))
    return influence, se, z


@pytest.mark.parametrize("models", [40, 130])
def test_influence_is_that_of_the_documented_formulas(models):
    mask, margins, _ = planted(models, 8)
    mask, margins = mask[:, :25], margins[:, :20]
    (block,) = influence_from_margins(mask, margins, np.zeros(25, int), np.zeros(20, int))
    for test in range(20):
        found = by_the_page(mask.astype(float), margins[:, test])
        for values, name in zip(found, ("influence", "influence_se", "z"), strict=True):
            assert getattr(block, name)[:, test] == pytest.approx(values, rel=1e-4, abs=1e-5)


def test_memorization_is_that_of_the_documented_formulas():
    mask, margins, _ = normal_margins(120, 40, 2)
    found = memorization_from_margins(mask, margins)
    parts = []
    for member in (mask, ~mask):
        clipped, mean, variance, count = [], np.empty(40), np.empty(40), member.sum(axis=0)
        for i in range(40):
            a = margins[member[:, i], i]
            spread = 1.4826 * np.median(np.abs(a - np.median(a)))
            a = np.clip(a, np.median(a) - 3 * spread, np.median(a) + 3 * spread)
            clipped.append(a)
            mean[i], variance[i] = a.mean(), a.var(ddof=1)
        freedom = count - 1
        e = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
        excess = e.var(ddof=1) - polygamma(1, freedom / 2).mean()
        prior = 2 * brentq(lambda x, wanted: polygamma(1, x) - wanted, 1e-3, 1e6, args=(excess,))
        common = np.exp(e.mean() + digamma(prior / 2) - np.log(prior / 2))
        sd = np.sqrt((prior * common + freedom * variance) / (prior + freedom))
        values, variances = np.empty(40), np.empty(40)
        for i, a in enumerate(clipped):
            p, slope = smoothed(margins[member[:, i], i], mean[i], sd[i], 120)
            values[i] = p.mean()
            variance_of_mean = (p + slope.mean() * a).var(ddof=1) / len(a)
            variances[i] = max(variance_of_mean, 1 / 3 / len(a) ** 2)
        parts.append((values, variances))
    assert found.value == pytest.approx(parts[0][0] - parts[1][0], abs=1e-8)
    assert found.se == pytest.approx(np.sqrt(parts[0][1] + parts[1][1]), abs=1e-8)


def test_confidence_intervals_cover_whatever_the_shape_with_many_models():
    """Margins with two peaks: a bandwidth that fell more slowly covered 59% at 4,000 models."""
    rng, models, n = np.random.default_rng(0), 4000, 400
    inside = masks(models, n, 0)
    peaks = np.where(rng.random((models, n)) < 0.5, 1.0, -1.0)
    margins = -0.5 + 1.5 * inside + peaks + 0.3 * rng.standard_normal((models, n))

    def correct(mean):
        return (ndtr((mean + 1) / 0.3) + ndtr((mean - 1) / 0.3)) / 2

    found = memorization_from_margins(inside, margins)
    error = found.value - (correct(1.0) - correct(-0.5))
    assert (np.abs(error) < 1.96 * found.se).mean() > 0.88
