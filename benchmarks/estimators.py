"""How many subset models two estimators need: pairs, influence and memorization on the demo.

    python benchmarks/estimators.py FOLDER [--train] [--csv FILE] [--figure FILE]

FOLDER holds the models, dealt*.npz and adjacent*.npz: packed masks and margins of models of the
demo's dataset, on subsets of today's design and of the one it replaced, in which the examples that
a model leaves out are three neighbouring parts of ten. With --train, the models that are missing
are trained first: 2,000 of each design, half an hour on one core.

Draws of k models are disjoint. The truth of a draw is the difference of accuracies on all models of
both designs outside the draw. A pair is true if the selection
rule takes it there. Coverage is that of 95% CIs over the true pairs, counting the SE of the truth.
"""

import argparse
import csv
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml

from memaudit import Scores, bits
from memaudit.data.longtail import LongTail, generate
from memaudit.models.removals import subset_mask

ROOT = Path(__file__).resolve().parents[1]
DESIGNS = {"dealt": 1000, "adjacent": 2000}  # and the seed of its models
MODELS, PER_FILE = 2000, 200
COMPARED = (("margins", "dealt"), ("difference", "dealt"), ("difference", "adjacent"))
SIZES = (60, 100, 140, 200, 400)
DRAWS = 5
MEMORIZATION, INFLUENCE, Z = 0.25, 0.15, 4.0


@dataclass
class Row:
    """Means over the draws; `f1_low` and `f1_high` are the extremes."""

    estimator: str
    design: str
    models: int
    draws: int
    truth_models: int
    f1: float
    f1_low: float
    f1_high: float
    precision: float
    recall: float
    planted_precision: float
    planted_recall: float
    influence_rmse: float
    influence_bias: float
    influence_coverage: float
    memorization_rmse: float
    memorization_coverage: float
    seconds: float


def adjacent_mask(n: int, model: int, seed: int) -> np.ndarray:
    """Leave out three neighbouring parts of ten, the design that `subset_mask` replaced."""
    block, member = divmod(model, 10)
    parts = np.array_split(np.random.default_rng([seed, block]).permutation(n), 10)
    mask = np.ones(n, dtype=bool)
    for part in range(member, member + 3):
        mask[parts[part % 10]] = False
    return mask


def train(folder: Path, config: dict) -> None:
    """Train the models that are missing in `folder`."""
    import torch

    from memaudit.models.recipe import Recipe
    from memaudit.models.resident_loader import ResidentLoader
    from memaudit.models.step import Step
    from memaudit.models.training import ModelJob, train_model

    torch.set_num_threads(1)
    data = generate(LongTail(**config["dataset"]["longtail"]), 0)
    recipe, classes = Recipe.of(config["recipes"]["original"]), len(data.class_names)
    loader = ResidentLoader(data, recipe.crop_padding, torch.device("cpu"))
    step = Step(recipe, classes, torch.device("cpu"))
    for design, seed in DESIGNS.items():
        for first in range(0, MODELS, PER_FILE):
            path = folder / f"{design}{first}.npz"
            if path.exists():
                continue
            masks, margins = [], []
            for model in range(first, first + PER_FILE):
                mask = (
                    subset_mask(data.n_train, model, 0.7, seed)
                    if design == "dealt"
                    else adjacent_mask(data.n_train, model, seed)
                )
                job = ModelJob(seed=seed, trial=model, mask=mask, margins=True)
                masks.append(bits.pack(mask))
                margins.append(train_model(loader, step, job).margins)
            np.savez(
                path,
                mask=np.stack(masks),
                train=np.stack([one["train_margin"] for one in margins])[:, None],
                test=np.stack([one["test_margin"] for one in margins])[:, None],
            )


def read(folder: Path, design: str) -> dict[str, np.ndarray]:
    """Return masks and margins of all models of a design."""
    paths = folder.glob(f"{design}*.npz")
    files = [np.load(p) for p in sorted(paths, key=lambda p: int(p.stem.removeprefix(design)))]
    columns = {"mask": lambda f: f["mask"]}
    columns |= {side: lambda f, side=side: f[side][:, 0] for side in ("train", "test")}
    found = {name: np.concatenate([get(f) for f in files]) for name, get in columns.items()}
    return found | {"mask": bits.unpack(found["mask"], found["train"].shape[1])}


class World:
    """The demo's dataset with its models, and dense scores of any of them."""

    def __init__(self, folder: Path, config: dict):
        data = generate(LongTail(**config["dataset"]["longtail"]), 0)
        self.labels = data.train_labels, data.test_labels
        self.models = {design: read(folder, design) for design in DESIGNS}
        planted = data.planted
        together = planted["train_subpopulation"][:, None] == planted["test_subpopulation"]
        self.planted = together
        self.planted_tail = together & (planted["train_role"] != "head")[:, None]

    def scores(self, estimator: str, parts: list[tuple[str, np.ndarray]]) -> tuple:
        """Return memorization, its SE, influence, its SE and z; NaN across classes."""
        names = ("mask", "train", "test")
        mask, train, test = (
            np.concatenate([self.models[design][name][rows] for design, rows in parts])
            for name in names
        )
        if estimator == "difference":
            train, test = train > 0, test > 0
        found = Scores.estimate(estimator, mask, train, test, *self.labels)
        shape = len(self.labels[0]), len(self.labels[1])
        influence, se, z = (np.full(shape, np.nan) for _ in range(3))
        for block in found.influence:
            at = np.ix_(block.train_index, block.test_index)
            influence[at], se[at], z[at] = block.influence, block.influence_se, block.evidence
        return found.memorization.value, found.memorization.se, influence, se, z


def selected(scores: tuple) -> np.ndarray:
    """Return which pairs the rule selects, bool (n_train, n_test)."""
    memorization, _, influence, _, z = scores
    return (memorization >= MEMORIZATION)[:, None] & (influence >= INFLUENCE) & (z > Z)


def compare(world: World, estimator: str, design: str, models: int) -> Row | None:
    """Return the row of an estimator at a number of models; None where there are too few."""
    available = {name: len(one["mask"]) for name, one in world.models.items()}
    draws = min(DRAWS, available[design] // models)
    found = []
    for draw in range(draws):
        rows = np.arange(models * draw, models * (draw + 1))
        others = [
            (name, np.setdiff1d(np.arange(count), rows) if name == design else np.arange(count))
            for name, count in available.items()
        ]
        truth = world.scores("difference", others)
        started = time.process_time()
        scores = world.scores(estimator, [(design, rows)])
        seconds = time.process_time() - started
        true, chosen = selected(truth), selected(scores)
        both = (true & chosen).sum()
        error, memorization = (scores[2] - truth[2])[true], scores[0] - truth[0]
        found.append(
            [
                2 * both / (true.sum() + chosen.sum()),
                both / max(1, chosen.sum()),
                both / true.sum(),
                (chosen & world.planted).sum() / max(1, chosen.sum()),
                (chosen & world.planted_tail).sum() / world.planted_tail.sum(),
                np.mean(error**2),
                error.mean(),
                np.mean(np.abs(error) < 1.96 * np.hypot(scores[3], truth[3])[true]),
                np.mean(memorization**2),
                np.mean(np.abs(memorization) < 1.96 * np.hypot(scores[1], truth[1])),
                seconds,
            ]
        )
    if not found:
        return None
    f1, *means = np.mean(found, axis=0)
    means[4], means[7] = means[4] ** 0.5, means[7] ** 0.5
    every = [one[0] for one in found]
    truth_models = sum(available.values()) - models
    return Row(estimator, design, models, draws, truth_models, f1, min(every), max(every), *means)


def draw(rows: list[Row], path: Path) -> None:
    """Draw the F1 of pairs against the number of models."""
    import matplotlib.pyplot as plt

    from memaudit.figures.drawing import BLUE, GREY, ORANGE, SMALL, headed, plain

    figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for estimator, design, colour, marker in (
        ("margins", "dealt", BLUE, "o"),
        ("difference", "dealt", ORANGE, "s"),
        ("difference", "adjacent", GREY, "^"),
    ):
        line = [row for row in rows if (row.estimator, row.design) == (estimator, design)]
        k = [row.models for row in line]
        label = f"{estimator}, {design} subsets" + (" (before)" if design == "adjacent" else "")
        axis.plot(k, [row.f1 for row in line], color=colour, marker=marker, label=label)
        axis.vlines(k, [r.f1_low for r in line], [r.f1_high for r in line], color=colour)
    axis.set_xscale("log")
    axis.set_xticks(SIZES, [str(size) for size in SIZES])
    axis.minorticks_off()
    axis.set_xlabel("subset models (log scale)", fontsize=SMALL)
    axis.set_ylabel("F1 of the selected pairs", fontsize=SMALL)
    headed(axis, "Selected pairs against those of many other models\nmean of draws; bars: range")
    axis.grid(axis="y", linewidth=0.4)
    plain(axis)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--csv", type=Path, default=ROOT / "benchmarks/results/estimators.csv")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs/estimator.png")
    options = parser.parse_args()
    config = yaml.safe_load((ROOT / "config/demo.yaml").read_text(encoding="utf-8"))
    if options.train:
        options.folder.mkdir(parents=True, exist_ok=True)
        train(options.folder, config)
    world, rows = World(options.folder, config), []
    for estimator, design in COMPARED:
        for models in SIZES:
            if row := compare(world, estimator, design, models):
                rows.append(row)
                print(f"{estimator}, {design}, {models} models: F1 {row.f1:.3f}", flush=True)
    with open(options.csv, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(asdict(rows[0]))
        for row in rows:
            values = asdict(row).values()
            out.writerow([f"{v:.4g}" if isinstance(v, float) else v for v in values])
    draw(rows, options.figure)


if __name__ == "__main__":
    main()
