"""LiRA against independent computations, and its bound of epsilon against a known mechanism."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from memaudit import bits
from memaudit.models.removals import subset_mask
from memaudit.scores.privacy import FALSE_POSITIVE_RATES, MembershipAttack, lira

N, MODELS = 40, 60


@pytest.fixture(scope="module")
def attacked():
    """Return masks, and log-odds that tell members of some examples."""
    rng = np.random.default_rng(0)
    mask = np.array([subset_mask(N, model, 0.7, 0) for model in range(MODELS)])
    shift, sd = rng.uniform(0, 4, N), rng.uniform(0.5, 2, N)
    return mask, rng.normal(shift * mask + rng.normal(size=N), sd)


def by_definition(mask, log_odds, center=np.mean, attack="online"):
    """Score pair by pair: log-ratio of the densities fitted to the models of other blocks."""
    scores = np.empty(mask.shape)
    for model in range(len(mask)):
        shadow = np.arange(len(mask)) // 10 != model // 10
        for i in range(mask.shape[1]):
            fits = []
            for member in (True, False):
                values = log_odds[shadow & (mask[:, i] == member), i]
                fits.append((center(values), np.std(values)))
            inside, outside = (norm.logpdf(log_odds[model, i], *fit) for fit in fits)
            scores[model, i] = inside - outside
            if attack == "offline":
                scores[model, i] = norm.cdf(log_odds[model, i], *fits[1])
    return scores


@pytest.mark.parametrize("attack", ["online", "offline"])
def test_scores_are_those_of_the_definition(attacked, attack):
    found = lira(*attacked, attack)
    expected = by_definition(*attacked, attack=attack)
    ours = norm.cdf(found.score) if attack == "offline" else found.score
    assert ours == pytest.approx(expected, abs=1e-4)


def test_scores_agree_with_the_published_code(attacked):
    """It centres the densities at medians: -logpdf(sc, median_in, std_in) + the same of out."""
    mask, _ = attacked
    published = by_definition(*attacked, center=np.median)
    found = lira(*attacked)
    assert np.corrcoef(found.score.ravel(), published.ravel())[0, 1] > 0.98
    area = mannwhitneyu(published[mask], published[~mask]).statistic / mask.sum() / (~mask).sum()
    (auc, *_) = found.leakage({"all": np.arange(N)})
    assert auc.value == pytest.approx(area, abs=0.01)


@pytest.mark.parametrize("attack", ["online", "offline"])
def test_rates_equal_an_independent_computation(attacked, attack):
    mask, _ = attacked
    found = lira(*attacked, attack)
    inside, outside = found.score[mask], found.score[~mask]
    rows = {row.quantity: row for row in found.leakage({"all": np.arange(N)})}
    area = mannwhitneyu(inside, outside).statistic / len(inside) / len(outside)
    assert rows["auc"].value == pytest.approx(area, abs=1e-6)
    for rate in FALSE_POSITIVE_RATES:
        allowed = int(rate * len(outside))  # the largest number of false positives
        threshold = np.sort(outside)[::-1][allowed]
        value = rows[f"tpr_at_{rate:g}"].value
        assert value == pytest.approx((inside > threshold).mean(), abs=1e-9)
    fpr, tpr = found.roc()
    assert np.trapezoid(tpr, fpr) == pytest.approx(area, abs=1e-3)
    for row in rows.values():
        assert row.quantity == "epsilon" or row.low <= row.value <= row.high
    per_example = [
        mannwhitneyu(found.score[mask[:, i], i], found.score[~mask[:, i], i]).statistic
        / mask[:, i].sum()
        / (~mask[:, i]).sum()
        for i in range(N)
    ]
    assert found.vulnerability() == pytest.approx(per_example, abs=1e-9)


def test_no_target_contributes_to_its_own_shadow_models(attacked):
    mask, log_odds = attacked
    before = lira(mask, log_odds).score
    changed = log_odds.copy()
    changed[20:30] += np.random.default_rng(1).normal(size=(10, N))
    after = lira(mask, changed).score
    changed[25] = log_odds[25]
    assert lira(mask, changed).score[25] == pytest.approx(before[25], abs=1e-5)
    assert not np.allclose(after[10], before[10])


def test_packed_masks_and_blocks_of_examples_change_nothing(attacked, monkeypatch):
    mask, log_odds = attacked
    whole = lira(mask, log_odds).score
    monkeypatch.setattr("memaudit.scores.margins._BLOCK", MODELS * 16)
    assert np.array_equal(lira(bits.pack(mask), log_odds).score, whole)


def test_groups_are_attacked_apart(attacked):
    attack = lira(*attacked)
    rows = attack.leakage({"first": np.arange(5), "none": np.arange(0), "rest": np.arange(5, N)})
    assert {row.group for row in rows} == {"first", "rest"}
    assert [row.n_examples for row in rows[::4]] == [5, N - 5]
    alone = MembershipAttack("online", attack.score[:, :5], attack.member[:, :5], attack.block)
    assert rows[0].value == pytest.approx(alone.leakage({"all": np.arange(5)})[0].value)
    assert str(attack.leakage({"first": np.arange(N) < 5})) == str(rows[:4])
    assert attack.roc(np.arange(N) < 5)[1].tolist() == attack.roc(np.arange(5))[1].tolist()
    with pytest.raises(ValueError, match="bool mask"):
        attack.leakage({"first": np.ones(5, dtype=bool)})


def test_random_log_odds_leak_nothing():
    covered = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mask = np.array([subset_mask(150, model, 0.7, seed) for model in range(100)])
        attack = lira(mask, rng.normal(size=mask.shape))
        auc, _, tpr, epsilon = attack.leakage({"all": np.arange(150)})
        covered.append((auc.low < 0.5 < auc.high, tpr.low < 0.01 < tpr.high))
        assert epsilon.value < 0.2
    assert np.mean(covered, axis=0).min() >= 0.85


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_the_bound_of_epsilon_holds_for_randomized_response(epsilon):
    """A response of the true membership with e^epsilon : 1 odds is exactly epsilon-private."""
    truth = 1 / (1 + np.exp(-epsilon))
    bounds = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        member = rng.random((40, 500)) < 0.7
        response = member == (rng.random(member.shape) < truth)
        score = (response + rng.random(member.shape)).astype(np.float32)
        attack = MembershipAttack("online", score, member, np.arange(40) // 10)
        (*_, row) = attack.leakage({"all": np.arange(500)})
        bounds.append(row.value)
    assert np.mean(np.array(bounds) <= epsilon + 1e-12) >= 0.9
    assert np.mean(bounds) >= 0.8 * epsilon


def test_what_cannot_be_attacked_is_refused(attacked):
    mask, log_odds = attacked
    with pytest.raises(ValueError, match="mask has 50 models"):
        lira(mask[:50], log_odds)
    with pytest.raises(ValueError, match="online or offline"):
        lira(mask, log_odds, "sideways")
    with pytest.raises(ValueError, match="fewer than three blocks"):
        lira(mask[:20], log_odds[:20])
    for value in (np.nan, np.inf):
        broken = log_odds.copy()
        broken[3, 4] = value
        with pytest.raises(ValueError, match=rf"has {value} \(model 3, example 4\)"):
            lira(mask, broken)
    with pytest.raises(ValueError, match="no models"):
        lira(mask[:0], log_odds[:0])
    with pytest.raises(ValueError, match="no example has two shadow models"):
        lira(np.ones_like(mask), log_odds)


def test_pairs_without_two_shadow_models_are_left_out_and_counted(attacked):
    mask, log_odds = attacked
    mask = mask.copy()
    mask[:, 0] = np.arange(MODELS) < 11  # one shadow model with it for the targets of block 0
    mask[:, 1] = True
    found = lira(mask, log_odds)
    assert found.n_unscored == np.isnan(found.score).sum() == 10 + MODELS
    assert np.isnan(found.score[:10, 0]).all() and np.isnan(found.score[:, 1]).all()
    assert lira(mask, log_odds, "offline").n_unscored == MODELS
    rest = lira(mask[:, 2:], log_odds[:, 2:])
    assert found.vulnerability()[2:] == pytest.approx(rest.vulnerability())
    both = found.leakage({"rest": np.arange(2, N), "all": np.arange(N), "one": np.array([1])})
    alone = rest.leakage({"rest": np.arange(N - 2)})
    assert [row.value for row in both[:4]] == pytest.approx([row.value for row in alone])
    assert [row.n_examples for row in both[4:]] == [N - 1] * 4
    assert np.isfinite([row.value for row in both]).all()


def test_an_example_in_every_training_set_has_no_vulnerability(attacked):
    mask, log_odds = attacked
    mask = mask.copy()
    mask[:, 0] = True
    vulnerability = lira(mask, log_odds).vulnerability()
    assert np.isnan(vulnerability).tolist() == [True] + [False] * (N - 1)
