"""Propose a study of a folder of images that fits a machine and a number of hours."""

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import yaml

from memaudit.data.dataset import read_settings
from memaudit.data.image_folder import folder_at
from memaudit.data.survey import Survey
from memaudit.names import nfc
from memaudit.study.model_times import Training, stated_seconds
from memaudit.study.plan import Machine

# (subset models k, trials), best first. At k = 200 the standard error of a score is at most 0.08.
SIZES = ((4000, 100), (2000, 40), (1000, 30), (600, 20), (400, 16), (200, 12), (100, 8))
ENOUGH = (200, 12)  # a larger network is preferred to more models than these
ARMS = 10  # of Table 2, each of `trials` models
SUBSET_FRACTION = 0.7
NETWORKS = {"gpu": ("resnet18", "resnet9", "tiny"), "cpu": ("resnet9", "tiny")}
IMAGE_SIZES = {"gpu": (64, 48, 32), "cpu": (32,)}
PRECISION = {"gpu": "bfloat16", "cpu": "float32"}
# Part of the hours that is planned: the stated rates of GPUs are those of an H200.
PLANNED = {"gpu": 0.5, "cpu": 0.8}
STEPS = 1500  # of training, at least; between 20 and 60 epochs


@dataclass(frozen=True)
class Proposal:
    """Values for study.yaml; `seconds` is the estimate for one model on all examples."""

    kind: str
    path: str
    is_gray: bool
    image_size: int
    per_class: int | None
    network: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    crop_padding: int
    precision: str
    seconds: float
    name: str = ""
    models: int = 0
    trials: int = 0
    max_hours: int = 0

    @property
    def largest_se(self) -> float:
        """Largest standard error of a memorization score."""
        k, r = self.models, SUBSET_FRACTION
        return math.sqrt(1 / (4 * r * k) + 1 / (4 * (1 - r) * k))


def propose(found: Survey, machine: Machine, hours: float, name: str | None = None) -> Proposal:
    """Return the largest study of `found` that takes at most `hours` on `machine`.

    The largest network for which `ENOUGH` models fit, then as many models as fit. If not even a
    small study fits, fewer images per class are used.
    """
    budget = 3600 * hours * machine.workers * PLANNED[machine.kind]

    def fits(option: Proposal, size: tuple[int, int]) -> bool:
        models, trials = size
        return option.seconds * (SUBSET_FRACTION * models + ARMS * trials) <= budget

    options = list(_options(found, machine))
    fitting = (
        option
        for per_class in dict.fromkeys(option.per_class for option in options)
        for enough in (ENOUGH, SIZES[-1])
        for option in options
        if option.per_class == per_class and fits(option, enough)
    )
    option = next(fitting, options[-1])
    models, trials = next((size for size in SIZES if fits(option, size)), SIZES[-1])
    return replace(
        option,
        name=name or free_name(found.root),
        models=models,
        trials=trials,
        max_hours=math.ceil(max(2 * hours, 1)),
    )


def _options(found: Survey, machine: Machine) -> Iterator[Proposal]:
    """What can be trained, best first; the last ones use only a part of the images."""
    counts = found.counts["train"].values()
    for per_class in (None, 2000, 1000, 500, 200, 100, 50, 20):
        if per_class and per_class >= max(counts):
            continue
        examples = sum(min(count, per_class or count) for count in counts)
        batch = min(256, max(16, 2 ** int(math.log2(max(1, examples / 16)))))
        batch = min(batch, max(2, int(SUBSET_FRACTION * examples)))
        epochs = min(60, max(20, math.ceil(STEPS * batch / examples)))
        for network in NETWORKS[machine.kind]:
            for size in _image_sizes(found, machine):
                training = Training(
                    network=network,
                    side=size,
                    images=examples * epochs,
                    steps=epochs * max(1, examples // batch),
                    precision=PRECISION[machine.kind],
                )
                yield Proposal(
                    kind=found.kind,
                    path=str(found.root),
                    is_gray=found.is_gray,
                    image_size=size,
                    per_class=per_class,
                    network=network,
                    epochs=epochs,
                    batch_size=batch,
                    learning_rate=round(min(0.4, 0.3 * math.sqrt(batch / 64)), 2),
                    weight_decay=0.005 if network == "tiny" else 0.0005,
                    crop_padding=max(1, size // 8),
                    precision=training.precision,
                    seconds=stated_seconds(machine.kind, training),
                )


def _image_sizes(found: Survey, machine: Machine) -> list[int]:
    """Sides in pixels to which the images need not be enlarged; at least 16."""
    widths, heights = zip(*found.sizes, strict=True)
    if len({*widths, *heights}) == 1 and 16 <= widths[0] <= IMAGE_SIZES[machine.kind][0]:
        return [widths[0]]
    sides = sorted(min(size) for size, count in found.sizes.items() for _ in range(count))
    side = sides[len(sides) // 20]  # a few small images may be enlarged
    return [n for n in IMAGE_SIZES[machine.kind] if n <= side] or [max(16, side // 8 * 8)]


def free_name(images: Path) -> str:
    """Return a name of a dataset for images that no study of the working folder has for others."""
    name, taken = dataset_name(images.resolve().name.removesuffix(".npz")), _other_names(images)
    numbered = (f"{name}_{number}" for number in count(2))
    return next(each for each in chain([name], numbered) if each not in taken)


def _other_names(images: Path) -> set[str]:
    """Return the names of datasets of other images in configurations and files written here."""
    found: list[tuple[str, Any]] = []
    for file in Path().glob("*.y*ml"):
        with suppress(OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            dataset = yaml.safe_load(file.read_text(encoding="utf-8"))["dataset"]
            found.append((dataset["name"], dataset[dataset["kind"]].get("path")))
    found += [(file.stem, read_settings(file).get("path")) for file in Path("data").glob("*.h5")]
    own = images.resolve()
    return {name for name, path in found if not path or folder_at(path).resolve() != own}


def dataset_name(folder: str) -> str:
    """Return a valid name of a dataset for a folder."""
    plain = unicodedata.normalize("NFKD", folder)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", re.sub(r"[\u0300-\u036f]", "", plain))
    name = name.strip("._")[:60] or "images"
    if any(character.isalnum() and not character.isascii() for character in plain):
        name = f"{name}_{hashlib.sha256(nfc(folder).encode()).hexdigest()[:6]}"
    return f"{name}_images" if name in ("cifar10", "cifar100") else name
