"""How many subset models two estimators need: pairs, influence and memorization.

    python benchmarks/estimators.py FOLDER [--train] [--photographs IMAGES] [--csv FILE]

FOLDER holds the models, dealt*.npz and adjacent*.npz: packed masks and margins of models of the
demo's dataset, on subsets of today's design and of the one it replaced, in which the examples that
a model leaves out are three neighbouring parts of ten. With --train, the models that are missing
are trained first: 2,000 of each design, half an hour on one core. With --photographs, the world is
CIFAR-10 photographs instead: the first 120 training and test images of each class in the folder
IMAGES, and the recipe of cifar10.yaml.

Draws of k models are disjoint. The truth of a draw is the difference of accuracies on all models of
both designs outside the draw. A pair is true if the selection
rule takes it there. Coverage is that of 95% CIs over the true pairs, counting the SE of the truth.
The rows of the other world are kept in the CSV file; the figure shows both.
"""

import argparse
import csv
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml

from memaudit import Scores, bits, judge_attributions
from memaudit.data.dataset import Dataset
from memaudit.data.image_folder import read_image_folder
from memaudit.data.longtail import LongTail, generate
from memaudit.models.removals import subset_mask
from memaudit.study.config.training import PAPER_RECIPES

ROOT = Path(__file__).resolve().parents[1]
DESIGNS = {"dealt": 1000, "adjacent": 2000}  # and the seed of its models
MODELS, PER_FILE = 2000, 200
COMPARED = (("margins", "dealt"), ("difference", "dealt"), ("difference", "adjacent"))
SIZES = {"demo": (60, 100, 140, 200, 400), "photographs": (60, 100, 150, 200)}
PER_CLASS = 120
DRAWS = 5
MEMORIZATION, INFLUENCE, Z = 0.25, 0.15, 4.0
LOW_Z = 3.0  # a less strict selection, for comparison


@dataclass
class Row:
    """Means over the draws; `f1_low` and `f1_high` are the extremes, `_z3` at a z of 3."""

    images: str
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
    f1_z3: float
    precision_z3: float
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


def dataset(photographs: Path | None) -> tuple[Dataset, dict]:
    """Return the images and the settings of the recipe."""
    name = "benchmarks/cifar10.yaml" if photographs else "config/demo.yaml"
    config = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    recipe = PAPER_RECIPES["original"] | config["recipes"]["original"]
    if photographs:
        size = config["dataset"]["image_folder"]["image_size"]
        return read_image_folder(photographs, size, PER_CLASS), recipe
    return generate(LongTail(**config["dataset"]["longtail"]), 0), recipe


def train(folder: Path, data: Dataset, settings: dict) -> None:
    """Train the models that are missing in `folder`."""
    import torch

    from memaudit.models.recipe import Recipe
    from memaudit.models.resident_loader import ResidentLoader
    from memaudit.models.step import Step
    from memaudit.models.training import ModelJob, train_model

    torch.set_num_threads(1)
    recipe, classes = Recipe.of(settings), len(data.class_names)
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
    """A dataset with its models, and dense scores of any of them."""

    def __init__(self, folder: Path, data: Dataset):
        self.labels = data.train_labels, data.test_labels
        self.models = {design: read(folder, design) for design in DESIGNS}
        planted = data.planted
        self.name = "demo" if planted else "photographs"
        shape = data.n_train, data.n_test
        self.planted = self.planted_tail = np.zeros(shape, dtype=bool)
        if planted:
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


def selected(scores: tuple, least: float = Z) -> np.ndarray:
    """Return which pairs the rule selects with a z above `least`, bool (n_train, n_test)."""
    memorization, _, influence, _, z = scores
    return (memorization >= MEMORIZATION)[:, None] & (influence >= INFLUENCE) & (z > least)


def share(some: np.ndarray, of: np.ndarray) -> float:
    """Return the share of `some` in `of`; NaN if that is empty."""
    return some.sum() / of.sum() if of.any() else float("nan")


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
        more = selected(scores, LOW_Z)
        error, memorization = (scores[2] - truth[2])[true], scores[0] - truth[0]
        found.append(
            [
                2 * both / (true.sum() + chosen.sum()),
                both / max(1, chosen.sum()),
                both / true.sum(),
                2 * (true & more).sum() / (true.sum() + more.sum()),
                (true & more).sum() / max(1, more.sum()),
                share(chosen & world.planted, chosen) if world.name == "demo" else np.nan,
                share(chosen & world.planted_tail, world.planted_tail),
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
    for squared in (6, 9):
        means[squared] **= 0.5
    every = [one[0] for one in found]
    truth_models = sum(available.values()) - models
    counts = models, draws, truth_models
    return Row(world.name, estimator, design, *counts, f1, min(every), max(every), *means)


def print_lds(world: World, data: Dataset, models: int = 140) -> None:
    """Print linear datamodeling scores: both estimators, and cosine similarity of the images.

    All test examples, then those that an example influences by the models of the other subsets.
    """
    images = [
        x.reshape(len(x), -1) - x.mean(axis=0).ravel()
        for x in (data.train_images, data.test_images)
    ]
    train, test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in images)
    same_class = data.train_labels[:, None] == data.test_labels
    similarity = {"pixels": train @ test.T, "pixels of the same class": train @ test.T * same_class}
    everyone = world.models["adjacent"]["mask"]
    influenced = selected(world.scores("difference", [("adjacent", np.arange(len(everyone)))]))
    mask, output = (world.models["dealt"][name][:models] for name in ("mask", "test"))
    for tests in (np.arange(data.n_test), np.flatnonzero(influenced.any(axis=0))):
        chosen = {name: values[:, tests] for name, values in similarity.items()}
        labels = data.train_labels, data.test_labels[tests]
        for row in judge_attributions(mask, output[:, tests], *labels, chosen):
            if row.quantity == "lds":
                print(
                    f"{len(tests)} test examples, {row.score}: LDS {row.value:.3f} "
                    f"({row.low:.3f} to {row.high:.3f})"
                )


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """Draw the F1 of pairs against the number of models, in one panel per world."""
    import matplotlib.pyplot as plt

    from memaudit.figures.drawing import (
        BLUE,
        GREY,
        ORANGE,
        SMALL,
        WIDTH,
        headed_together,
        plain,
    )

    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4), layout="constrained")
    for axis, (images, sizes) in zip(axes, SIZES.items(), strict=True):
        for estimator, design, colour, marker in (
            ("margins", "dealt", BLUE, "o"),
            ("difference", "dealt", ORANGE, "s"),
            ("difference", "adjacent", GREY, "^"),
        ):
            which = images, estimator, design
            line = [r for r in rows if (r["images"], r["estimator"], r["design"]) == which]
            k, f1, low, high = (
                [float(row[name]) for row in line] for name in ("models", "f1", "f1_low", "f1_high")
            )
            label = f"{estimator}, {design} subsets" + (" (before)" if design == "adjacent" else "")
            axis.plot(k, f1, color=colour, marker=marker, label=label)
            axis.vlines(k, low, high, color=colour)
        axis.set_xscale("log")
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.set_xlabel(f"subset models (log scale), {images}", fontsize=SMALL)
        axis.grid(axis="y", linewidth=0.4)
        plain(axis)
    axes[0].set_ylabel("F1 of the selected pairs", fontsize=SMALL)
    title = "Selected pairs against those of many other models; mean of draws; bars: range"
    headed_together(figure, axes, title, columns=3)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--photographs", type=Path, metavar="IMAGES")
    parser.add_argument("--csv", type=Path, default=ROOT / "benchmarks/results/estimators.csv")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs/estimator.png")
    options = parser.parse_args()
    data, recipe = dataset(options.photographs)
    if options.train:
        options.folder.mkdir(parents=True, exist_ok=True)
        train(options.folder, data, recipe)
    world, rows = World(options.folder, data), []
    print_lds(world, data)
    for estimator, design in COMPARED:
        for models in SIZES[world.name]:
            if row := compare(world, estimator, design, models):
                rows.append(row)
                print(f"{estimator}, {design}, {models} models: F1 {row.f1:.3f}", flush=True)
    found = [
        {name: f"{v:.4g}" if isinstance(v, float) else str(v) for name, v in asdict(row).items()}
        for row in rows
    ]
    if options.csv.exists():
        with open(options.csv, newline="", encoding="utf-8") as file:
            found += [
                {name: row.get(name, "") for name in found[0]}
                for row in csv.DictReader(file)
                if row["images"] != world.name
            ]
    found.sort(key=lambda row: row["images"])
    with open(options.csv, "w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, found[0], lineterminator="\n")
        out.writeheader()
        out.writerows(found)
    draw(found, options.figure)


if __name__ == "__main__":
    main()
