"""Numbers and size of the configured images before the dataset is written."""

from memaudit.data.arrays import ArrayFile
from memaudit.data.image_folder import count_images
from memaudit.data.longtail import LongTail
from memaudit.errors import AuditError
from memaudit.study.config import Dataset

CIFAR = {"train": 50_000, "test": 10_000}


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


def image_side(dataset: Dataset) -> int | None:
    """Return the side of the images in pixels, None if it is not known yet."""
    if dataset.kind == "image_folder":
        return dataset.image_folder.image_size
    if dataset.kind == "arrays":
        found = _arrays(dataset)
        return dataset.arrays.image_size or (max(found.size) if found else None)
    return dataset.longtail.image_size if dataset.longtail else 32


def _arrays(dataset: Dataset) -> ArrayFile | None:
    """Return the configured .npz file, None if it is missing or unsuitable."""
    settings = dataset.arrays
    try:
        return ArrayFile(settings.path, settings.validation) if settings.path else None
    except AuditError:
        return None
