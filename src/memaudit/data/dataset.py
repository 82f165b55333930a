"""A dataset: images, labels, names. Example i is always row i. Images may stay in the file."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np

from memaudit import store
from memaudit.data import mapped


@dataclass(frozen=True)
class Dataset:
    """Training and test images with their classes, in the order of the source.

    train_images (n_train, h, w, 3) and test_images (n_test, h, w, 3) are uint8 RGB; the labels are
    int64 indices into `class_names`. `train_names` and `test_names` are file names, empty where the
    images did not come from files. `planted` records what a generator planted, by field name (see
    `memaudit.data.longtail`); it is empty for real images.
    """

    class_names: list[str]
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    train_names: list[str] = field(default_factory=list)
    test_names: list[str] = field(default_factory=list)
    planted: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def n_train(self) -> int:
        return len(self.train_labels)

    @property
    def n_test(self) -> int:
        return len(self.test_labels)

    def name(self, side: str, index: int) -> str:
        """Return the name of an example for figures and lists: its file, or its index."""
        names = self.train_names if side == "train" else self.test_names
        return names[index] if names else f"{side} {index}"

    def digest(self) -> str:
        """Return the sha256 of the images and labels of both sides, with their shapes."""
        total = hashlib.sha256()
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            total.update(f"{array.dtype} {array.shape}".encode())
            for block in mapped.blocks(array):
                total.update(np.ascontiguousarray(block).data)
        return total.hexdigest()


def save(
    dataset: Dataset, path: str | Path, settings: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Write `dataset` to an HDF5 file with the fields of `memaudit.store.DATASET`, block by block.

    `settings` are those that it was read with, for `read_settings`. Raises AuditError when it
    cannot be written.
    """
    fields: dict[str, Any] = {"class_names": dataset.class_names}
    images = {}
    for side in ("train", "test"):
        images[f"{side}/images"] = getattr(dataset, f"{side}_images")
        fields[f"{side}/labels"] = getattr(dataset, f"{side}_labels")
        if names := getattr(dataset, f"{side}_names"):
            fields[f"{side}/names"] = names
    fields |= {f"planted/{name}": values for name, values in dataset.planted.items()}
    attributes = {"digest": dataset.digest(), "settings": dict(settings)}
    shapes = {name: array.shape for name, array in images.items()}
    with store.create_large(path, store.DATASET, attributes, fields, shapes) as append:
        for array in images.values():
            for block in mapped.blocks(array):
                append(block)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Return the settings that a dataset was read with; empty if there is no record of them.

    The checksum of the file is not verified, which takes seconds.
    """
    with suppress(OSError, ValueError), h5py.File(path) as file:
        return dict(json.loads(file.attrs.get("settings", "{}")))
    return {}


def count_written(path: str | Path) -> int | None:
    """Return the number of training examples of a dataset file, None if it cannot be read.

    As in `read_settings`, the checksum is not verified.
    """
    with suppress(OSError, KeyError), h5py.File(path) as file:
        return len(file["train/labels"])
    return None


def load(path: str | Path, remedy: str = "") -> Dataset:
    """Read a dataset written by `save`; its images are read-only and read when they are used.

    Raises AuditError when it is missing or damaged, with the remedy, by default to rebuild it.
    """
    with store.reading(path, store.DATASET, remedy) as file:
        text = {
            name: file[name].asstr()[:].tolist()
            for name in ("class_names", "train/names", "test/names")
            if name in file
        }
        planted = {
            name: item.asstr()[:].astype(str) if item.dtype == object else item[:]
            for name, item in file.get("planted", {}).items()
        }
        return Dataset(
            class_names=text["class_names"],
            train_images=_images(file["train/images"]),
            train_labels=file["train/labels"][:],
            test_images=_images(file["test/images"]),
            test_labels=file["test/labels"][:],
            train_names=text.get("train/names", []),
            test_names=text.get("test/names", []),
            planted=planted,
        )


def _images(images: h5py.Dataset) -> np.ndarray:
    """Return images of an open file, mapped if they are stored in one piece."""
    offset = images.id.get_offset()
    if offset is None:  # compressed, or none
        return np.asarray(images[:])
    return mapped.read_only(images.file.filename, offset, images.shape)
