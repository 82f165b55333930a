"""Generate images with planted duplicates and subpopulations.

Feldman's model of long-tailed data: a class is a mixture of subpopulations, a few of them large
and most of them tiny. Each subpopulation has a smooth random template, unrelated to the others of
its class, so only its own training examples tell a model the class of its test examples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # ndimage is imported on first use: every training job imports this module

from memaudit.data.dataset import Dataset
from memaudit.seeds import generator


@dataclass(frozen=True)
class LongTail:
    """Settings of the generator; counts are per class unless stated otherwise.

    A class has `head` large subpopulations, the r-th with about `head_size / r` training examples
    and `head_test` times as many test examples; `small` subpopulations of two or three training
    examples with `small_test` test examples each; `singletons` with one test example each; `exact`
    and `edited` training examples that have an exact or an edited copy in the test set; and
    `mislabelled` examples, head images of another class. `variation` is the spread of the examples
    of a large subpopulation around their template, relative to the contrast of the template;
    `small_variation` is the same for small ones. `noise` is the SD of the pixel noise (of 255).
    """

    image_size: int
    classes: int
    head: int
    head_size: int
    head_test: float
    small: int
    small_test: int
    singletons: int
    exact: int
    edited: int
    mislabelled: int
    variation: float
    small_variation: float
    noise: float

    def train_per_class(self) -> int:
        """Return the number of training examples per class."""
        single = self.singletons + self.exact + self.edited + self.mislabelled
        return sum(self.head_sizes()) + sum(self.small_sizes()) + single

    def head_sizes(self) -> list[int]:
        return [max(1, round(self.head_size / rank)) for rank in range(1, self.head + 1)]

    def small_sizes(self) -> list[int]:
        return [2 + index % 2 for index in range(self.small)]


def _field(rng: np.random.Generator, count: int, size: int, cells: int) -> np.ndarray:
    """Return smooth random images (count, size, size, 3), each with mean 0 and SD 1."""
    coarse = rng.standard_normal((count, cells, cells, 3))
    zoom = size / cells
    fine = scipy.ndimage.zoom(coarse, (1, zoom, zoom, 1), order=3, mode="reflect", grid_mode=True)
    fine -= fine.mean(axis=(1, 2, 3), keepdims=True)
    fine /= fine.std(axis=(1, 2, 3), keepdims=True)
    return np.asarray(fine)


def _bytes(images: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(images), 0, 255), np.uint8)


def _shift(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    reach = max(1, image.shape[0] // 16)
    dy, dx = rng.choice([-reach, reach], 2)
    return np.asarray(scipy.ndimage.shift(image, (dy, dx, 0), order=0, mode="nearest"))


def _crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Enlarge by 12% about the centre."""
    size = image.shape[0]
    start = (size - 1) / 2 * (1 - 1 / 1.12)
    at = start + np.arange(size) / 1.12
    grid = np.meshgrid(at, at, indexing="ij")
    channels = [scipy.ndimage.map_coordinates(image[..., c], grid, order=1) for c in range(3)]
    return np.stack(channels, axis=-1)


# The edits of a copy: (image float (h, w, 3) in 0..255, generator) -> image.
EDITS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "mirror": lambda image, rng: image[:, ::-1],
    "shift": _shift,
    "brightness": lambda image, rng: image + rng.choice([-30, 30]),
    "contrast": lambda image, rng: 127.5 + (image - 127.5) * rng.choice([0.65, 1.35]),
    "colour": lambda image, rng: image * rng.uniform(0.75, 1.2, 3),
    "noise": lambda image, rng: image + rng.normal(0, 10, image.shape),
    "crop": _crop,
}


# The subpopulation recorded for mislabelled examples, which belong to none of their class.
MISLABELLED = -1


class _Builder:
    """Collect examples together with the record of what they are."""

    def __init__(self, settings: LongTail, rng: np.random.Generator):
        self.settings = settings
        self.rng = rng
        self.sides: dict[str, dict[str, list[Any]]] = {
            side: {"images": [], "labels": [], "role": [], "subpopulation": []}
            for side in ("train", "test")
        }
        self.copy_of: dict[int, tuple[int, str]] = {}
        self.smallest_head: dict[int, np.ndarray] = {}
        self.subpopulations = 0

    def add(self, side: str, images: np.ndarray, label: int, role: str, subpopulation: int) -> None:
        rows = self.sides[side]
        rows["images"].extend(images)
        for key, value in (("labels", label), ("role", role), ("subpopulation", subpopulation)):
            rows[key].extend([value] * len(images))

    def examples(self, template: np.ndarray, variation: np.ndarray) -> np.ndarray:
        """Return images around a template, uint8; `variation` is in units of the template's SD."""
        s = self.settings
        images = 127.5 + 45 * (template + variation)
        return _bytes(images + self.rng.normal(0, s.noise, images.shape))

    def variation(self, role: str, count: int) -> np.ndarray:
        s = self.settings
        size = s.variation if role == "head" else s.small_variation
        return size * _field(self.rng, count, s.image_size, 4)

    def population(self, label: int, role: str, train: int, test: int) -> np.ndarray:
        """Add a subpopulation of `train` training and `test` test examples; return its template.

        The test examples of a small one lie among its training examples: they vary, with a third of
        the spread, around the mean of the training examples' variations or, for a single training
        example, a third of the way from the template to it (closer would be a near-duplicate).
        """
        template = _field(self.rng, 1, self.settings.image_size, 4)
        in_train, in_test = self.variation(role, train), self.variation(role, test)
        if role != "head":
            pull = 1 if train > 1 else 1 / 3
            in_test = pull * in_train.mean(axis=0) + in_test / 3
        self.add("train", self.examples(template, in_train), label, role, self.subpopulations)
        self.add("test", self.examples(template, in_test), label, role, self.subpopulations)
        self.subpopulations += 1
        return template

    def copy(self, label: int, role: str, edit: str) -> None:
        """Add a singleton whose test example is an exact or edited copy of it."""
        self.population(label, role, 1, 0)
        image = self.sides["train"]["images"][-1]
        if edit:
            image = _bytes(EDITS[edit](image.astype(np.float64), self.rng))
        self.copy_of[len(self.sides["test"]["images"])] = (
            len(self.sides["train"]["images"]) - 1,
            edit,
        )
        self.add("test", image[None], label, role, self.subpopulations - 1)


def generate(settings: LongTail, seed: int) -> Dataset:
    """Generate the dataset; the same settings and seed give the same images.

    `planted` records for each training and test example its `role` ("head", "small", "singleton",
    "exact", "edited", "mislabelled") and subpopulation (-1 for mislabelled examples), and for each
    test example the training example that it copies (or -1) and the edit. Examples are shuffled.
    """
    rng = generator(seed, "dataset")
    build = _Builder(settings, rng)
    edits = list(EDITS)
    for label in range(settings.classes):
        for size in settings.head_sizes():
            test = max(1, round(size * settings.head_test)) if settings.head_test else 0
            build.smallest_head[label] = build.population(label, "head", size, test)
        for size in settings.small_sizes():
            build.population(label, "small", size, settings.small_test)
        for _ in range(settings.singletons):
            build.population(label, "singleton", 1, 1)
        for _ in range(settings.exact):
            build.copy(label, "exact", "")
        for number in range(settings.edited):
            build.copy(label, "edited", edits[(label * settings.edited + number) % len(edits)])
    _mislabel(build)
    return _shuffled(build, rng)


def _mislabel(build: _Builder) -> None:
    """Add examples of the next class's smallest head subpopulation under a wrong label."""
    s = build.settings
    for label in range(s.classes):
        template = build.smallest_head[(label + 1) % s.classes]
        images = build.examples(template, build.variation("head", s.mislabelled))
        build.add("train", images, label, "mislabelled", MISLABELLED)


def _shuffled(build: _Builder, rng: np.random.Generator) -> Dataset:
    arrays, place = {}, {}
    for side, rows in build.sides.items():
        order = rng.permutation(len(rows["labels"]))
        place[side] = np.argsort(order)
        arrays[side] = {key: np.array(values)[order] for key, values in rows.items()}
    n_test = len(place["test"])
    copy_of, edit = np.full(n_test, -1), np.full(n_test, "", dtype="U16")
    for test, (train, kind) in build.copy_of.items():
        copy_of[place["test"][test]] = place["train"][train]
        edit[place["test"][test]] = kind
    planted = {f"{side}_role": arrays[side]["role"] for side in arrays}
    planted |= {f"{side}_subpopulation": arrays[side]["subpopulation"] for side in arrays}
    planted |= {"test_copy_of": copy_of, "test_edit": edit}
    return Dataset(
        class_names=[f"class {label}" for label in range(build.settings.classes)],
        train_images=arrays["train"]["images"],
        train_labels=arrays["train"]["labels"].astype(np.int64),
        test_images=arrays["test"]["images"],
        test_labels=arrays["test"]["labels"].astype(np.int64),
        planted=planted,
    )
