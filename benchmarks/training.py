"""Compare our trainer with a plain PyTorch loop and with the computation alone, on the CPU.

    python benchmarks/training.py              write the table in benchmarks/README.md
    python benchmarks/training.py --csv FILE   write only the speed-ups

All three train and evaluate the same network with the same recipe and number of steps on one
thread. They alternate in one process. Times are CPU time, which other processes affect less than
wall time.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import shared
import torch
import yaml
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from memaudit.data.dataset import Dataset
from memaudit.data.longtail import LongTail, generate
from memaudit.models import networks
from memaudit.models.optimizer import SGD
from memaudit.models.recipe import Recipe
from memaudit.models.removals import training_mask
from memaudit.models.resident_loader import ResidentLoader, batches_per_epoch
from memaudit.models.step import Step
from memaudit.models.training import ModelJob, train_model

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- written by training.py -->", "<!-- end of training.py -->"
CPU = torch.device("cpu")
LAYOUT = torch.channels_last
WAYS = {
    "trainer": "our trainer",
    "plain": "plain PyTorch loop",
    "compute": "computation alone",
}


@dataclasses.dataclass(frozen=True)
class Case:
    """What is trained: dataset, training mask (bool), recipe, and the number of rounds."""

    name: str
    dataset: Dataset
    mask: np.ndarray
    recipe: Recipe
    rounds: int


def cases(rounds: int) -> list[Case]:
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text(encoding="utf-8"))
    images = generate(LongTail(**demo["dataset"]["longtail"]), seed=0)
    subset = training_mask("subset", 0, images.train_labels, 0, fraction=0.7)
    recipe = Recipe.of(demo["recipes"]["weight_decay"])
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (320, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, 320)
    large = Dataset(list("abcdefghij"), pixels[:256], labels[:256], pixels[256:], labels[256:])
    deep = Recipe("resnet9", 1, 64, 0.01, 0.15, 0.9, 0.0005, 4, True)
    return [
        Case("the demo's `tiny`", images, subset, recipe, rounds),
        Case("`resnet9`", large, np.ones(256, dtype=bool), deep, max(3, rounds // 3)),
    ]


def trainer(case: Case) -> Callable[[], None]:
    loader = ResidentLoader(case.dataset, case.recipe.crop_padding, CPU)
    step = Step(case.recipe, len(case.dataset.class_names), CPU)
    job = ModelJob(seed=0, trial=0, mask=case.mask)

    def run() -> None:
        train_model(loader, step, job)

    return run


class Images(TorchDataset):
    """PIL images and labels, through torchvision's transforms."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, change: Callable):
        self.images = [Image.fromarray(image) for image in pixels]
        self.labels = labels.tolist()
        self.change = change

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, example: int):
        return self.change(self.images[example]), self.labels[example]


def plain(case: Case) -> Callable[[], None]:
    """What one would write: DataLoader, torchvision's transforms, torch.optim.SGD.

    In the trainer's memory layout, channels last, which not everyone would think of.
    """
    data, recipe = case.dataset, case.recipe
    augment = [transforms.RandomCrop(data.train_images.shape[1], recipe.crop_padding)]
    augment += [transforms.RandomHorizontalFlip()] if recipe.mirror else []
    change = transforms.Compose([*augment, transforms.ToTensor()])
    train = Images(data.train_images[case.mask], data.train_labels[case.mask], change)
    sides = [
        Images(data.train_images, data.train_labels, transforms.ToTensor()),
        Images(data.test_images, data.test_labels, transforms.ToTensor()),
    ]
    steps = recipe.epochs * batches_per_epoch(len(train), recipe.batch_size)

    def run() -> None:
        network = networks.build(recipe.network, len(data.class_names), 0).to(memory_format=LAYOUT)
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        loader = DataLoader(train, recipe.batch_size, shuffle=True, drop_last=True)
        number = 0
        network.train()
        for _ in range(recipe.epochs):
            for images, labels in loader:
                optimizer.param_groups[0]["lr"] = recipe.rate(number, steps)
                loss = functional.cross_entropy(network(images.to(memory_format=LAYOUT)), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                number += 1
        network.eval()
        with torch.no_grad():
            for side in sides:
                for images, labels in DataLoader(side, 1024):
                    images = images.to(memory_format=LAYOUT)
                    (network(images).argmax(1) == labels).sum().item()

    return run


def compute(case: Case) -> Callable[[], None]:
    """Return the minimal work: forward, backward, optimizer and evaluation on prepared batches."""
    data, recipe = case.dataset, case.recipe
    loader = ResidentLoader(data, recipe.crop_padding, CPU)
    examples = np.flatnonzero(case.mask)
    batches = list(loader.train_batches(examples, recipe.batch_size, 0, 0, recipe.mirror))
    evaluation = [batch for side in ("train", "test") for batch in loader.evaluation_batches(side)]
    network = networks.build(recipe.network, len(data.class_names), 0).to(memory_format=LAYOUT)

    def run() -> None:
        optimizer = SGD(network.parameters(), recipe.momentum, recipe.weight_decay)
        network.train()
        for _ in range(recipe.epochs):
            for images, labels in batches:
                functional.cross_entropy(network(images), labels).backward()
                optimizer.step(1e-6)
        network.eval()
        with torch.no_grad():
            for images, labels in evaluation:
                (network(images).argmax(1) == labels).sum()

    return run


def measure(case: Case) -> dict[str, list[tuple[float, float]]]:
    """Return (CPU seconds, wall seconds) per method and round, after one warm-up round."""
    ways = {"trainer": trainer(case), "plain": plain(case), "compute": compute(case)}
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for number in range(case.rounds + 1):
        for way, run in ways.items():
            used, started = time.process_time(), time.perf_counter()
            run()
            taken = time.process_time() - used, time.perf_counter() - started
            if number:
                seconds[way].append(taken)
                print(f"{case.name}, round {number}, {WAYS[way]}: {taken[0]:.3f} s", flush=True)
    return seconds


def ratios(seconds: dict[str, list[tuple[float, float]]], against: str) -> list[float]:
    """Return the speed-up of the trainer over `against` in CPU time, per round."""
    pairs = zip(seconds["trainer"], seconds[against], strict=True)
    return [other[0] / ours[0] for ours, other in pairs]


def report(found: list[tuple[Case, dict]], load: float) -> str:
    """Return the README's measured section; `load` is the load average at the start."""
    rows = [
        f"Measured on one core ({shared.processor()}); {shared.versions('torch', 'numpy')}. CPU "
        "seconds to train and evaluate a model, median (range). Load average at the start: "
        f"{load:.1f}.",
        "",
        "| | " + " | ".join(WAYS.values()) + " | speed-up over the loop | over the computation |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for case, seconds in found:
        data, recipe = case.dataset, case.recipe
        what = (
            f"{case.name}, {data.train_images.shape[1]} x {data.train_images.shape[2]}, "
            f"{int(case.mask.sum())} examples, batches of {recipe.batch_size}, {recipe.epochs} "
            f"epochs, {case.rounds} rounds"
        )
        cells = [[used for used, _ in seconds[way]] for way in WAYS]
        cells += [ratios(seconds, other) for other in ("plain", "compute")]
        words = " | ".join(shared.spread(values, "{:.2f}") for values in cells)
        rows.append(f"| {what} | {words} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, help="write the speed-ups here instead of the README")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of the demo's network")
    given = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    found = [(case, measure(case)) for case in cases(given.rounds)]
    if given.csv:
        rows = [
            shared.row(
                "training",
                f"trainer, {case.name.replace('`', '')}",
                WAYS[other],
                ratios(seconds, other),
            )
            for case, seconds in found
            for other in ("plain", "compute")
        ]
        shared.write_rows(rows, given.csv)
    else:
        shared.write_measured(BEGIN, END, report(found, load))


if __name__ == "__main__":
    main()
