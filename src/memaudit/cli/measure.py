"""What `memaudit doctor --cpu` and `--gpu` measure: whether training is exact, and how fast."""

import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import yaml

from memaudit.cli.machine import Finding
from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError
from memaudit.models import networks
from memaudit.models.device import choose_device, describe, enough_memory
from memaudit.models.loaders import Loader, choose_loader
from memaudit.models.network_names import network_source
from memaudit.models.precision import computing_in
from memaudit.models.recipe import PRECISIONS, Recipe
from memaudit.models.resident_loader import ResidentLoader, to_network
from memaudit.models.step import Step
from memaudit.models.training import train_epoch
from memaudit.study import plan, rates
from memaudit.study.checks import check_files
from memaudit.study.images import known
from memaudit.study.model_times import Kind
from memaudit.study.study import Study

SECONDS = 4.0  # of each rate
IMAGES = 8192  # random images to measure with
CLASSES = 10
COMPARED = 5  # steps and batches that are compared bit for bit


def configured(files: list[Path]) -> Study:
    """Return the study of configuration files; a later one overrides single keys."""
    check_files(files)
    merged: dict[str, object] = {}
    for file in files:
        _update(merged, yaml.safe_load(file.read_text(encoding="utf-8")))
    return Study(merged)


def _update(merged: dict[str, object], given: dict[str, object]) -> None:
    for key, value in given.items():
        inside = merged.get(key)
        if isinstance(inside, dict) and isinstance(value, dict):
            _update(inside, value)
        else:
            merged[key] = value


def findings(kind: Kind, study: Study) -> Iterator[Finding]:
    """Check the training step and the loaders, and measure the networks of the study.

    The rates are written to `rates.FILE`.
    """
    device = choose_device("cuda" if kind == "gpu" else "cpu")
    side = known(study.dataset, study.config.dataset).side
    data = _random((side, side))
    recipes = {recipe.network: recipe for recipe in map(Recipe.of, study.recipes.values())}
    yield _batches(data, device)
    measured: list[rates.Rate] = []
    for recipe, precision in itertools.product(recipes.values(), _precisions(device)):
        tried = replace(recipe, precision=precision)
        name = f"{tried.network}, {precision}"
        try:
            with enough_memory(name, tried, device):
                if kind == "gpu":
                    yield _capture(name, tried, data, device)
                speed, batch_size = images_per_second(tried, data, device)
        except AuditError as error:
            yield Finding("rate", "problem", str(error))
            continue
        yield Finding(
            "rate", "ok", f"{name}: {speed:,.0f} images/s, {side} x {side}, batches of {batch_size}"
        )
        measured.append(_rate(kind, tried, side, (speed, batch_size)))
    rates.add(measured)
    machine = plan.this_machine("cuda" if kind == "gpu" else "cpu")
    parts = plan.estimate(study, machine, study.models)
    hours = sum(part.hours for part in parts) / machine.workers
    models = sum(part.models for part in parts)
    yield Finding(
        "study",
        "ok",
        f"{models:,} models take {plan.duration(hours)} on this machine ({machine}); the rates are "
        f"in {rates.FILE}, and `memaudit plan` uses them",
    )


def _rate(kind: Kind, recipe: Recipe, side: int, found: tuple[float, int]) -> rates.Rate:
    """Return a rate from images per second and the size of the batches."""
    device = describe(choose_device("cuda" if kind == "gpu" else "cpu"))
    return rates.Rate(
        kind=kind,
        network=recipe.network,
        precision=recipe.precision,
        side=side,
        batch_size=found[1],
        images_per_second=found[0],
        device=device,
        source=network_source(recipe.network),
    )


def time_networks(kind: Kind, study: Study, names: list[str]) -> None:
    """Measure the rates of some recipes' networks and write them to `rates.FILE`.

    Where the shape of the images or their classes are not known yet, for which a network may be
    made, it is only imported.
    """
    device = choose_device("cuda" if kind == "gpu" else "cpu")
    images = known(study.dataset, study.config.dataset)
    side, shape, classes = images.side, images.shape, images.classes
    for name in names:
        recipe = Recipe.of(study.recipes[name])
        networks.own_function(recipe.network)
        if not shape or not classes:
            continue
        data = _random(shape, classes)
        with enough_memory(name, recipe, device):
            speed = images_per_second(recipe, data, device)
        rates.add([_rate(kind, recipe, side, speed)])
        print(f"{recipe.network}: {speed[0]:,.0f} images/s on {describe(device)}", file=sys.stderr)


def _random(shape: tuple[int, int], classes: int = CLASSES) -> Dataset:
    """Return a dataset of random images of `shape` (height, width)."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, *shape, 3), dtype=np.uint8)
    labels = rng.integers(0, classes, IMAGES)
    names = [f"class {number}" for number in range(classes)]
    return Dataset(names, pixels, labels, pixels[:64], labels[:64])


def _precisions(device: torch.device) -> list[str]:
    """Return the precisions that the device can compute in."""
    found = []
    for precision in PRECISIONS:
        try:
            with computing_in(precision, device):
                found.append(precision)
        except (AuditError, RuntimeError):  # the latter from torch, for bfloat16
            continue
    return found


def _batches(data: Dataset, device: torch.device) -> Finding:
    """Compare the pixels and labels of the loaders' batches.

    Not the numbers that the network gets: a GPU divides by 255 with another rounding.
    """
    padding, order = 4, np.random.default_rng(1).permutation(IMAGES)[: COMPARED * 64]

    def pixels(loader: Loader) -> list[tuple[torch.Tensor, torch.Tensor]]:
        batches = loader.train_batches(order, 64, 0, 0, True)
        return [(images.cpu().mul(255).round(), labels.cpu()) for images, labels in batches]

    expected = pixels(ResidentLoader(data, padding, torch.device("cpu")))
    compared = []
    with TemporaryDirectory() as folder:
        for kind in ("resident", "ffcv"):
            if kind == "resident" and device.type == "cpu":
                continue
            try:
                loader = choose_loader(kind, data, padding, device, Path(folder) / "random.beton")
            except AuditError:
                continue  # FFCV is not installed
            name = f"{type(loader).__name__} on {describe(device)}"
            for found, wanted in zip(pixels(loader), expected, strict=True):
                if not all(map(torch.equal, found, wanted)):
                    return Finding(
                        "loaders",
                        "problem",
                        f"{name} delivers other images than ResidentLoader on the CPU",
                        "use the other loader (training.loader) and report this as a bug",
                    )
            compared.append(name)
    if not compared:
        return Finding("loaders", "ok", "nothing to compare: only the resident loader is available")
    return Finding("loaders", "ok", f"{', '.join(compared)}: as ResidentLoader on the CPU")


def _capture(name: str, recipe: Recipe, data: Dataset, device: torch.device) -> Finding:
    """Compare steps captured in a CUDA graph with eager ones bit for bit."""
    loader = ResidentLoader(data, recipe.crop_padding, device)
    size = min(recipe.batch_size, IMAGES // COMPARED)
    results = []
    for graph in (True, False):
        step = Step(recipe, CLASSES, device, graph)
        step.reset(0)
        order = np.arange(COMPARED * size)
        batches = loader.train_batches(order, size, 0, 0, recipe.mirror)
        loss, _ = train_epoch(step, batches, [recipe.learning_rate / 10] * COMPARED)
        results.append((loss, [values.cpu() for values in step.network.state_dict().values()]))
    (captured, weights), (eager, expected) = results
    if captured == eager and all(map(torch.equal, weights, expected)):
        return Finding("graph", "ok", f"{name}: {COMPARED} captured steps equal eager ones")
    return Finding(
        "graph",
        "problem",
        f"{name}: captured steps differ from eager ones (loss {captured} and {eager})",
        "set training.cuda_graphs to false and report this as a bug",
    )


def images_per_second(recipe: Recipe, data: Dataset, device: torch.device) -> tuple[float, int]:
    """Return the rate of training in batches of the recipe, and the size of the batches.

    On a CPU batches take a second at most, so that large networks are measured in seconds, and CPU
    time counts, which other programs change less.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    loader = ResidentLoader(data, recipe.crop_padding, device)
    classes = len(data.class_names)
    step = Step(recipe, classes, device)
    two = to_network(torch.from_numpy(data.test_images[:2]).to(device))
    networks.check(recipe.network, step.network, classes, two)
    step.reset(0)

    def train(epoch: int, steps: int, size: int) -> float:
        """Return the seconds of `steps` steps, after which the device is idle."""
        order = np.random.default_rng(epoch).permutation(IMAGES)[: steps * size]
        began = clock()
        batches = loader.train_batches(order, size, 0, epoch, recipe.mirror)
        train_epoch(step, batches, [recipe.learning_rate / 10] * steps)
        return clock() - began

    size = min(recipe.batch_size, IMAGES // 4)
    if device.type == "cpu":
        size = min(size, 16)
        train(0, 1, size)  # allocates
        size = max(size, min(recipe.batch_size, IMAGES // 4, int(size / train(0, 1, size))))
    steps = 2 if device.type == "cpu" else IMAGES // size
    train(0, steps, size)
    images, seconds, epoch = 0, 0.0, 1
    while seconds < SECONDS:
        seconds += train(epoch, steps, size)
        images += steps * size
        epoch += 1
    return images / seconds, size


if __name__ == "__main__":  # run by time_own_networks: kind, recipes; the study
    try:
        time_networks(
            "gpu" if sys.argv[1] == "gpu" else "cpu", Study(json.load(sys.stdin)), sys.argv[2:]
        )
    except AuditError as error:
        sys.exit(str(error))
