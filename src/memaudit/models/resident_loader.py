"""Batches from a dataset that lives on the training device."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from memaudit.data.dataset import Dataset
from memaudit.models.augmentation import augmentation

EVALUATION_BATCH = 1024


class ResidentLoader:
    """Train and test images of a dataset on `device`, as uint8, cut into batches there.

    Batches are pixel / 255, float32 (batch, 3, h, w) in channels_last memory, and int64 labels
    (batch,). The train images are kept zero-padded, so a crop is a matter of indices.
    """

    def __init__(self, dataset: Dataset, padding: int, device: torch.device):
        self.device = device
        self.padding = padding
        self.height, self.width = dataset.train_images.shape[1:3]
        images = torch.from_numpy(dataset.train_images).to(device)
        padded = functional.pad(images, (0, 0, padding, padding, padding, padding))
        self.padded_width = padded.shape[2]
        self.padded_pixels = padded.shape[1] * padded.shape[2]
        self.pixels = padded.reshape(-1, 3)
        self.train_labels = torch.from_numpy(dataset.train_labels).to(device)
        self.test_images = torch.from_numpy(dataset.test_images).to(device)
        self.test_labels = torch.from_numpy(dataset.test_labels).to(device)
        self.rows = torch.arange(self.height, device=device)
        self.columns = torch.arange(self.width, device=device)

    def _cut(
        self, points: torch.Tensor, dy: torch.Tensor, dx: torch.Tensor, flip: torch.Tensor
    ) -> torch.Tensor:
        """Windows (dy, dx) of the padded train images of `points`, mirrored where `flip`."""
        batch = len(points)
        rows = dy[:, None] + self.rows
        mirrored = torch.where(flip[:, None], self.width - 1 - self.columns, self.columns)
        columns = dx[:, None] + mirrored
        start = points[:, None, None] * self.padded_pixels
        index = start + rows[:, :, None] * self.padded_width + columns[:, None, :]
        pixels = self.pixels.index_select(0, index.view(-1))
        return to_network(pixels.view(batch, self.height, self.width, 3))

    def train_batches(
        self, order: np.ndarray, batch_size: int, seed: int, epoch: int, mirror: bool
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The augmented batches of one epoch: `full_batches` of `order` (int64 train indices)."""
        n = len(self.train_labels)
        drawn = augmentation(seed, epoch, n, self.padding, mirror)
        order, size = full_batches(order, batch_size)
        points = torch.from_numpy(order).to(self.device)
        dy, dx, flip = (torch.from_numpy(part[order]).to(self.device) for part in drawn)
        for start in range(0, len(order), size):
            part = slice(start, start + size)
            images = self._cut(points[part], dy[part], dx[part], flip[part])
            yield images, self.train_labels[points[part]]

    def evaluation_batches(self, side: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All points of "train" or "test" in order, not augmented."""
        labels = self.train_labels if side == "train" else self.test_labels
        for start in range(0, len(labels), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            if side == "test":
                images = to_network(self.test_images[part])
            else:
                points = torch.arange(start, min(part.stop, len(labels)), device=self.device)
                middle = torch.full_like(points, self.padding)
                images = self._cut(points, middle, middle, torch.zeros_like(points, dtype=bool))
            yield images, labels[part]


def full_batches(order: np.ndarray, batch_size: int) -> tuple[np.ndarray, int]:
    """The part of `order` that fills batches, and their size: the one rule of every loader.

    What is left over at the end is left out (another part each epoch); an `order` shorter than a
    batch is one batch.
    """
    size = min(batch_size, len(order))
    return order[: len(order) // size * size], size


def batches_per_epoch(points: int, batch_size: int) -> int:
    """Steps of an epoch over `points` training points."""
    return max(1, points // batch_size)


def to_network(images: torch.Tensor) -> torch.Tensor:
    """uint8 (batch, h, w, 3) to float32 (batch, 3, h, w) in 0..1, channels_last."""
    return images.permute(0, 3, 1, 2).float().div_(255)
