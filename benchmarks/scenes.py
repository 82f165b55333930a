"""Evaluate and fit the probability of another photograph of a scene, on annotated pairs.

    python benchmarks/scenes.py data/cifar100.h5 [--fit]
    python benchmarks/scenes.py data/cifar100.h5 --cost

Takes the 1,015 pairs of CIFAR-100 that Feldman and Zhang published, as annotated in
data/annotations. Computes the evidence of `memaudit.duplicates.scene` for them (minutes, the
training of the small network included) and writes it with the folds and the cross-validated
probabilities to benchmarks/results/scene_pairs.csv. Without a dataset the evidence is read from
that file, and only the regressions are fitted again. Prints the measures of docs/duplicates.md.
The probability of pairs that were not selected by influence is fitted to
benchmarks/results/scene_readings.csv. --fit writes the coefficients fitted to all pairs to
src/memaudit/duplicates/calibration.json.
--cost runs the whole search on the dataset instead and writes CPU time and memory of its steps to
benchmarks/results/scene_cost.csv. --network FILE keeps the trained network for the next run.

Nested cross-validation by test image: the terms and the penalty of the regression are chosen by
likelihood in folds of the training part of each outer fold, then fitted to that part and
applied to the outer fold.
"""

import argparse
import csv
import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize, minimize_scalar

ROOT = Path(__file__).parents[1]
PAIRS = ROOT / "data/annotations/cifar100_fz_pairs.csv"
RESULT = Path(__file__).parent / "results/scene_pairs.csv"
READINGS = RESULT.with_name("scene_readings.csv")
COST = RESULT.with_name("scene_cost.csv")
FITTED = ROOT / "src/memaudit/duplicates/calibration.json"
FOLDS = 10
NEAR = 0.55  # score from which the finder calls a pair a near-duplicate
KINDS = ("network", "classical", "score")
# terms of a regression: a tuple shares one weight
MODELS = {
    "network": (
        (("global", "cells", "patches"), "score", "white"),
        ("global", "cells", "patches", "score", "white"),
        ("global", "cells", "patches", "score"),
    ),
    "classical": (
        (("global", "patches"), "score", "white"),
        ("global", "patches", "score", "white"),
        ("global", "patches", "score"),
    ),
    "score": (("score",),),
}
PENALTIES = (0.3, 1.0, 3.0)


def evidence(path: Path) -> list[dict[str, float]]:
    """Return the terms of F&Z's pairs with the features of a network and classical ones."""
    from memaudit.data.dataset import load
    from memaudit.duplicates import find_duplicates, scene
    from memaudit.duplicates.features import features_of

    data = load(path)
    with open(PAIRS, newline="") as file:
        rows = [
            {"train": int(row["train"]), "test": int(row["test"]), **row_of(row)}
            for row in csv.DictReader(file)
        ]
    tests = np.unique([row["test"] for row in rows])
    place = {test: k for k, test in enumerate(tests.tolist())}
    part = replace(data, test_images=data.test_images[tests], test_labels=data.test_labels[tests])
    found = find_duplicates(part.train_images, part.test_images, review=0, per_test=scene.SCORED)
    known = zip(found.train.tolist(), found.test.tolist(), strict=True)
    score = dict(zip(known, found.score.tolist(), strict=True))
    own = [(row["train"], place[row["test"]]) for row in rows]
    listed = score | {pair: max(score.get(pair, 0.0), 1e-6) for pair in own}  # candidates anyway
    for kind in KINDS[:2]:
        terms = scene.gather(part, features_of(kind, data, seed=0), listed)
        at = zip(terms.train.tolist(), terms.test.tolist(), strict=True)
        at = {pair: k for k, pair in enumerate(at)}
        for row in rows:
            k = at[row["train"], place[row["test"]]]
            for name, values in terms.terms.items():
                own = name if name in ("score", "white") else f"{kind}_{name}"
                row[own] = float(values[k])
    return rows


def keep_network(path: Path | None) -> dict[str, float]:
    """Let the search read the network from a file, or write it if there is none.

    Returns a dictionary that holds the CPU seconds of the training once it has run.
    """
    import torch

    from memaudit.duplicates import features
    from memaudit.models import networks

    train, spent = features.train_network, {}

    def kept(data, seed, *_):
        started = time.process_time()
        if path and path.exists():
            network = networks.build(features.RECIPE.network, len(data.class_names), seed)
            network.load_state_dict(torch.load(path))
            network.eval()
        else:
            network = train(data, seed)
            if path:
                torch.save(network.state_dict(), path)
        spent["training"] = time.process_time() - started
        return network

    features.train_network = kept
    return spent


def cost(path: Path, network: Path | None, tests: int) -> None:
    """Run the whole search and write CPU time and memory of its steps.

    The peak memory is that of the process up to the end of a step. `ratio` is the CPU time of the
    finder and the search for scenes, without the training, divided by that of the finder alone.
    """
    from memaudit.data.dataset import load
    from memaudit.duplicates import SCORED, find_duplicates, find_scenes

    data, spent, rows = load(path), keep_network(network), []
    part = np.sort(np.random.default_rng(0).permutation(data.n_test)[:tests])
    data = replace(data, test_images=data.test_images[part], test_labels=data.test_labels[part])

    def timed(step, search):
        cpu, wall = time.process_time(), time.perf_counter()
        found = search()
        training = spent.pop("training", 0.0)
        own = time.process_time() - cpu - training
        rows.append(
            {
                "step": step,
                "train_images": data.n_train,
                "test_images": data.n_test,
                "cpu_seconds": f"{own:.0f}",
                "training_cpu_seconds": f"{training:.0f}",
                "wall_seconds": f"{time.perf_counter() - wall:.0f}",
                "ratio": f"{1 + own / float(rows[0]['cpu_seconds']):.2f}" if rows else "1.00",
                "peak_mb": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}",
            }
        )
        print(rows[-1], flush=True)
        with open(COST, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return found

    pairs = timed(
        "finder",
        lambda: find_duplicates(data.train_images, data.test_images, review=0, per_test=SCORED),
    )
    for kind in KINDS[:2]:
        timed(kind, lambda kind=kind: find_scenes(data, pairs, kind))


def row_of(row: dict[str, str]) -> dict[str, object]:
    return {"duplicate": int(row["final"] in ("exact", "near")), "near_kind": row["near_kind"]}


def matrix(rows: list[dict[str, float]], kind: str, terms: tuple) -> np.ndarray:
    """Return the terms of a regression (pairs, terms)."""

    def column(name: str) -> np.ndarray:
        own = name if name in ("score", "white") else f"{kind}_{name}"
        return np.array([float(row[own]) for row in rows])

    return np.column_stack(
        [sum(map(column, name)) if isinstance(name, tuple) else column(name) for name in terms]
    )


def fit(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Return weights and intercept of a logistic regression with a ridge on standardized terms."""
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        logit = z @ w
        ridge = penalty * np.r_[w[:-1], 0]
        value = np.logaddexp(0, logit).sum() - y @ logit + 0.5 * ridge @ w
        return value, z.T @ (1 / (1 + np.exp(-logit)) - y) + ridge

    w = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B").x
    slope = w[:-1] / scale
    return np.r_[slope, w[-1] - slope @ mean]


def apply(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(x @ w[:-1] + w[-1])))


def folds_of(tests: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the fold of each pair, so that all pairs of a test image are in one."""
    unique, place = np.unique(tests, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(unique))[place] % count


def chosen(rows: list[dict[str, float]], kind: str, y: np.ndarray, tests: np.ndarray) -> tuple:
    """Return the terms and penalty with the best cross-validated likelihood."""
    best = None
    for terms in MODELS[kind]:
        x = matrix(rows, kind, terms)
        for penalty in PENALTIES:
            p = np.empty(len(y))
            fold = folds_of(tests, 5, seed=1)
            for k in range(5):
                p[fold == k] = apply(x[fold == k], fit(x[fold != k], y[fold != k], penalty))
            value = np.log(np.where(y == 1, p, 1 - p)).mean()
            if best is None or value > best[0] + 1e-4:
                best = (value, terms, penalty)
    return best[1:]


def cross_validated(rows: list[dict[str, float]], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the nested cross-validated probability and the fold of each pair."""
    y = np.array([int(row["duplicate"]) for row in rows])
    tests = np.array([int(row["test"]) for row in rows])
    fold, p = folds_of(tests, FOLDS, seed=0), np.empty(len(y))
    for k in range(FOLDS):
        own = [row for row, f in zip(rows, fold, strict=True) if f != k]
        out = [row for row, f in zip(rows, fold, strict=True) if f == k]
        terms, penalty = chosen(own, kind, y[fold != k], tests[fold != k])
        w = fit(matrix(own, kind, terms), y[fold != k], penalty)
        p[fold == k] = apply(matrix(out, kind, terms), w)
    return p, fold


def selection(coefficients: dict[str, dict[str, float]]) -> float:
    """Return how much more often selected pairs are duplicates than others, in log odds.

    `coefficients` are those fitted to selected pairs; the others are the most probable pairs of
    random test images in READINGS. Prints how the difference transfers between datasets.
    """
    with open(READINGS, newline="") as file:
        rows = list(csv.DictReader(file))
    logit = np.array(
        [
            sum(
                float(row[name] or 0) * weight if name != "intercept" else weight
                for name, weight in coefficients[row["evidence"]].items()
            )
            for row in rows
        ]
    )
    y, weight = (np.array([float(row[name]) for row in rows]) for name in ("duplicate", "weight"))
    groups = np.array([f"{row['dataset']} {row['evidence']}" for row in rows])

    def likelihood(shift: float, among: np.ndarray) -> float:
        x = logit[among] - shift
        return float(np.average(y[among] * x - np.logaddexp(0, x), weights=weight[among]))

    def best(among: np.ndarray) -> float:
        return float(minimize_scalar(lambda shift: -likelihood(shift, among)).x)

    first = np.char.startswith(groups, "cifar100")
    shifts = {"none": 0.0, "of CIFAR-100": best(first), "of all": best(first | True)}
    for group in dict.fromkeys(groups):
        among = groups == group
        tried = shifts | {"its own": best(among)}
        values = {name: round(likelihood(shift, among), 3) for name, shift in tried.items()}
        print(f"{group}: {among.sum()} readings, own shift {best(among):.2f}, likelihood {values}")
        p = 1 / (1 + np.exp(shifts["of all"] - logit))
        for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
            part = among & (p >= low) & (p < high)
            mean, right = (np.average(values[part], weights=weight[part]) for values in (p, y))
            print(
                f"  {low} to {min(high, 1)}: {part.sum()}, mean {mean:.2f}, duplicates {right:.2f}"
            )
        for name, shift in shifts.items():
            called = among & (logit >= shift)
            recall = (weight * y)[called].sum() / (weight * y)[among].sum()
            right = np.average(y[called], weights=weight[called])
            print(
                f"  p >= 0.5 with the factor {name}: {called.sum()}, precision {right:.2f}, "
                f"recall {recall:.2f}"
            )
    return shifts["of all"]


def average_precision(y: np.ndarray, p: np.ndarray) -> float:
    hits = y[np.argsort(-p, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits == 1].mean())


def recall_at(y: np.ndarray, p: np.ndarray, precision: float) -> float:
    """Return the largest recall at a precision of at least `precision`."""
    hits = np.cumsum(y[np.argsort(-p, kind="stable")])
    good = hits / np.arange(1, len(hits) + 1) >= precision
    return float(hits[good].max(initial=0) / y.sum())


def interval(y, p, tests, measure, draws: int = 500) -> tuple[float, float]:
    """Return the 95% percentile interval of a measure, by resampling test images."""
    unique, place = np.unique(tests, return_inverse=True)
    members = [np.flatnonzero(place == k) for k in range(len(unique))]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        index = np.concatenate([members[k] for k in rng.integers(0, len(unique), len(unique))])
        found.append(measure(y[index], p[index]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def with_near(p: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return probabilities of which those of near-duplicates are at least that by the score."""
    from memaudit.duplicates.calibration import if_selected, probability

    alone = np.array([if_selected(value) for value in probability("score", {"score": score})])
    return np.where(score >= NEAR, np.maximum(p, alone), p)


def chosen_thresholds(p, y, trains, fold, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the threshold chosen for each fold in the others, and which pairs are called.

    It is the lowest with at most `wrong` examples called wrongly per example with a duplicate.
    """

    def allowed(least: float, among: np.ndarray) -> bool:
        leaking = set(trains[among & (y == 1)].tolist())
        called = set(trains[among & (p >= least)].tolist())
        return len(called - leaking) <= wrong * len(leaking)

    grid = np.arange(0.01, 1, 0.01)
    found = [
        next(least for least in grid if allowed(least, fold != k)) for k in range(fold.max() + 1)
    ]
    return np.array(found), p >= np.array(found)[fold]


def report(rows: list[dict[str, float]]) -> None:
    y = np.array([int(row["duplicate"]) for row in rows])
    kinds = np.array([row["near_kind"] for row in rows])
    tests, trains = (np.array([int(row[name]) for row in rows]) for name in ("test", "train"))
    fold = np.array([int(row["fold"]) for row in rows])
    score = np.array([float(row["score"]) for row in rows])
    leaking = set(trains[y == 1].tolist())
    measures = {
        "average precision": average_precision,
        "recall at precision 0.9": lambda y, p: recall_at(y, p, 0.9),
        "recall at precision 0.95": lambda y, p: recall_at(y, p, 0.95),
        "recall at precision 0.8": lambda y, p: recall_at(y, p, 0.8),
    }
    for kind in KINDS:
        p = np.array([float(row[f"p_{kind}"]) for row in rows])
        print(f"\n{kind}")
        for name, measure in measures.items():
            low, high = interval(y, p, tests, measure)
            print(f"  {name}: {measure(y, p):.3f} ({low:.3f} to {high:.3f})")
        if kind != "score":
            floored = with_near(p, score)
            low, high = interval(y, floored, tests, average_precision)
            found = set(trains[floored >= 0.5].tolist())
            print(
                "  near-duplicates at least at the probability by their score: average precision "
                f"{average_precision(y, floored):.3f} ({low:.3f} to {high:.3f}), "
                f"recall at precision 0.9 {recall_at(y, floored, 0.9):.3f}; "
                f"p >= 0.5: examples {len(found & leaking)}, {len(found - leaking)} wrong"
            )
            least, called = chosen_thresholds(p, y, trains, fold, 30 / 258)
            found = set(trains[called].tolist())
            print(
                "  threshold chosen in the other folds, at most 30 per 258 wrong: "
                f"{least.min():.2f} to {least.max():.2f}; examples {len(found & leaking)}, "
                f"{len(found - leaking)} wrong"
            )
        for least in (0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8):
            called = p >= least
            found = set(trains[called].tolist())
            precision, recall = y[called].mean(), y[called].sum() / y.sum()
            print(
                f"  p >= {least}: precision {precision:.2f}, recall {recall:.2f}; examples "
                f"{len(found & leaking)} of {len(leaking)}, {len(found - leaking)} wrong; "
                + ", ".join(
                    f"{name} {called[kinds == name].sum()} of {(kinds == name).sum()}"
                    for name in ("same_photograph", "same_scene", "unclear")
                )
            )
        for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
            among = (p >= low) & (p < high)
            if among.any():
                print(
                    f"  {low} to {min(high, 1)}: {among.sum()} pairs, mean p "
                    f"{p[among].mean():.2f}, duplicates {y[among].mean():.2f}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dataset", type=Path, nargs="?", help="data/cifar100.h5")
    parser.add_argument("--fit", action="store_true", help="write the coefficients")
    parser.add_argument("--cost", action="store_true", help="measure the whole search instead")
    parser.add_argument("--tests", type=int, default=10_000, help="test images for --cost")
    parser.add_argument("--network", type=Path, help="file of the trained network")
    options = parser.parse_args()
    if options.cost:
        cost(options.dataset, options.network, options.tests)
        return
    if options.dataset:
        keep_network(options.network)
        rows = evidence(options.dataset)
    else:
        with open(RESULT, newline="") as file:
            rows = list(csv.DictReader(file))
    coefficients = {}
    y = np.array([int(row["duplicate"]) for row in rows])
    tests = np.array([int(row["test"]) for row in rows])
    for kind in KINDS:
        p, fold = cross_validated(rows, kind)
        for row, value, own in zip(rows, p, fold, strict=True):
            row[f"p_{kind}"], row["fold"] = f"{value:.4f}", int(own)
        terms, penalty = chosen(rows, kind, y, tests)
        w = fit(matrix(rows, kind, terms), y, penalty)
        named = {"intercept": w[-1]}
        for name, value in zip(terms, w[:-1], strict=True):
            named |= dict.fromkeys(name if isinstance(name, tuple) else (name,), value)
        print(kind, terms, penalty, {name: round(value, 3) for name, value in named.items()})
        kept = "selected" if kind == "score" else kind
        coefficients[kept] = {name: round(float(value), 4) for name, value in named.items()}
    shift = round(selection(coefficients), 2)
    for kind in KINDS[:2]:
        coefficients[kind]["intercept"] = round(coefficients[kind]["intercept"] - shift, 4)
    network = coefficients["network"]
    together = round(network["global"] + network["cells"], 4)
    coefficients["embedding"] = {**network, "global": together, "cells": 0.0}
    RESULT.parent.mkdir(exist_ok=True)
    with open(RESULT, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()})
    report(rows)
    if options.fit:
        known = json.loads(FITTED.read_text())
        known["coefficients"] |= coefficients
        known["selection"] = shift
        FITTED.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
