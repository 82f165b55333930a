"""Batches from a dataset that is held on the training device."""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from memaudit.data.dataset import Dataset
from memaudit.models.augmentation import augmentation

# Images per batch in evaluation, by kind of device. On a GPU it is halved where memory is short.
EVALUATION_BATCH = {"cpu": 1024, "cuda": 2048}


class ResidentLoader:
    """Training and test images of a dataset on `device`, as uint8, cut into batches there.

    Batches are pixel / 255, float32 (batch, 3, h, w) in channels_last memory, and int64 labels
    (batch,). The training images are kept zero-padded; `windows`, uint8 (n_train, 2 * padding + 1,
    2 * padding + 1, h, w, 3), is a view of them with every crop of every example at [example, dy,
    dx]. `evaluation_batch` is the number of images per batch in evaluation.
    """

    def __init__(self, dataset: Dataset, padding: int, device: torch.device):
        self.device = device
        self.evaluation_batch = EVALUATION_BATCH[device.type]
        self.padding = padding
        height, width = dataset.train_images.shape[1:3]
        images = as_tensor(dataset.train_images).to(device)
        padded = functional.pad(images, (0, 0, padding, padding, padding, padding))
        self.windows = padded.unfold(1, height, 1).unfold(2, width, 1).permute(0, 1, 2, 4, 5, 3)
        self.train_labels = torch.from_numpy(dataset.train_labels).to(device)
        self.test_images = as_tensor(dataset.test_images).to(device)
        self.test_labels = torch.from_numpy(dataset.test_labels).to(device)

    def train_batches(
        self, order: np.ndarray, batch_size: int, seed: int, epoch: int, mirror: bool
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the augmented batches of one epoch: `full_batches` of `order` (int64 examples)."""
        drawn = augmentation(seed, epoch, len(self.train_labels), self.padding, mirror)
        order, size = full_batches(order, batch_size)
        chosen = [order, *(part[order] for part in drawn)]
        columns = [torch.from_numpy(column).to(self.device) for column in chosen]
        labels = self.train_labels[columns[0]]
        for start in range(0, len(order), size):
            part = slice(start, start + size)
            examples, dy, dx, flip = (column[part] for column in columns)
            cut = cut_on_gpu if self.device.type != "cpu" else cut_rows
            images = cut(self.windows, examples, dy, dx, flip if mirror else None)
            yield to_network(images), labels[part]

    def evaluation_batches(self, side: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield all examples of "train" or "test" in order, not augmented."""
        images, labels = self.test_images, self.test_labels
        if side == "train":
            images, labels = self.windows[:, self.padding, self.padding], self.train_labels
        size = self.evaluation_batch
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            yield to_network(images[part].contiguous()), labels[part]


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """Return a tensor that shares the memory of images, which it must not change."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(images)


def cut_rows(
    windows: torch.Tensor,
    examples: torch.Tensor,
    dy: torch.Tensor,
    dx: torch.Tensor,
    flip: torch.Tensor | None,
) -> torch.Tensor:
    """Cut the windows [examples, dy, dx], uint8 (batch, h, w, 3), mirrored where `flip`.

    `examples`, `dy` and `dx` are int64 (batch,), `flip` is bool (batch,) or None to mirror none.
    On the CPU numpy is faster: it copies whole rows of a window where torch copies bytes.
    """
    images = windows.numpy()[examples.numpy(), dy.numpy(), dx.numpy()]
    if flip is not None:
        rows = flip.numpy()
        images[rows] = images[rows].take(np.arange(images.shape[2])[::-1], axis=2)
    return torch.from_numpy(images)


def cut_on_gpu(
    windows: torch.Tensor,
    examples: torch.Tensor,
    dy: torch.Tensor,
    dx: torch.Tensor,
    flip: torch.Tensor | None,
) -> torch.Tensor:
    """Do the same as `cut_rows`, in operations that a GPU does at once and nothing waits for."""
    images = windows[examples, dy, dx]
    return images if flip is None else torch.where(flip.view(-1, 1, 1, 1), images.flip(2), images)


def full_batches(order: np.ndarray, batch_size: int) -> tuple[np.ndarray, int]:
    """Return the part of `order` that fills batches, and their size: the one rule of all loaders.

    The remainder is left out, another one each epoch; an `order` shorter than a batch is one batch.
    """
    size = min(batch_size, len(order))
    return order[: len(order) // size * size], size


def batches_per_epoch(examples: int, batch_size: int) -> int:
    """Return the number of steps of an epoch over `examples` training examples."""
    return max(1, examples // batch_size)


def to_network(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 (batch, h, w, 3) to float32 (batch, 3, h, w) in 0..1, channels_last."""
    return images.permute(0, 3, 1, 2).float().div_(255)
