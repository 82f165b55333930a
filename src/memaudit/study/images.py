"""Numbers and size of the images of a study: of its dataset, or as configured."""

from dataclasses import dataclass
from pathlib import Path

from memaudit import store
from memaudit.data.arrays import ArrayFile
from memaudit.data.image_folder import class_folders, count_images
from memaudit.data.longtail import LongTail
from memaudit.errors import AuditError
from memaudit.study.config.dataset import Dataset

CIFAR = {"train": 50_000, "test": 10_000}
CIFAR_CLASSES = {"cifar10": 10, "cifar100": 100}


@dataclass(frozen=True)
class Known:
    """What is known of the images of a study; None where it is not yet."""

    train: int | None
    test: int | None
    shape: tuple[int, int] | None  # height, width
    classes: int | None

    @property
    def n_train(self) -> int:
        """Number of training images; 0 if it is not known yet."""
        return self.train or 0

    @property
    def n_test(self) -> int:
        """Number of test images; a fifth of the training images if it is not known yet."""
        return self.n_train // 5 if self.test is None else self.test

    @property
    def side(self) -> int:
        """Longer side in pixels; 32 if it is not known yet."""
        return max(self.shape) if self.shape else 32


def known(path: str | Path, dataset: Dataset) -> Known:
    """Return the numbers and size of the images in the file at `path`, or as configured."""
    if Path(path).exists():
        with store.reading(path, store.DATASET) as file:
            n, height, width, _ = file["train/images"].shape
            classes = file["class_names"].shape[0]
            return Known(n, file["test/labels"].shape[0], (height, width), classes)
    sides = (n_images(dataset, "train"), n_images(dataset, "test"))
    return Known(*sides, image_shape(dataset), n_classes(dataset))


def n_images(dataset: Dataset, side: str) -> int | None:
    """Return the number of images of a side, "train" or "test"; None if it is not known yet."""
    if dataset.kind == "image_folder":
        folder = dataset.image_folder
        return count_images(folder.path or "", side, folder.per_class) or None
    if dataset.kind == "arrays":
        found = _arrays(dataset)
        limit = dataset.arrays.per_class
        counts = found.counts[side].values() if found else ()
        return sum(min(count, limit or count) for count in counts) or None
    if dataset.kind != "longtail":
        return CIFAR[side]
    if side == "test" or dataset.longtail is None:
        return None
    settings = LongTail(**dataset.longtail.model_dump())
    return settings.classes * settings.train_per_class()


def n_classes(dataset: Dataset) -> int | None:
    """Return the number of classes, None if it is not known yet."""
    if dataset.kind == "image_folder":
        return len(class_folders(dataset.image_folder.path or "", "train")) or None
    if dataset.kind == "arrays":
        found = _arrays(dataset)
        return len(found.counts["train"]) if found else None
    return dataset.longtail.classes if dataset.longtail else CIFAR_CLASSES.get(dataset.kind)


def image_shape(dataset: Dataset) -> tuple[int, int] | None:
    """Return (height, width) of the images in pixels, None if it is not known yet."""
    if dataset.kind == "image_folder":
        side = dataset.image_folder.image_size
    elif dataset.kind == "arrays":
        side = dataset.arrays.image_size
        if not side and (found := _arrays(dataset)):
            width, height = found.size
            return height, width
    else:
        side = dataset.longtail.image_size if dataset.longtail else 32
    return (side, side) if side else None


def _arrays(dataset: Dataset) -> ArrayFile | None:
    """Return the configured .npz file, None if it is missing or unsuitable."""
    settings = dataset.arrays
    try:
        return ArrayFile(settings.path, settings.validation) if settings.path else None
    except AuditError:
        return None
