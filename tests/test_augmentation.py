"""The definition of the augmentation, and the loader's batches."""

import numpy as np
import pytest
import torch

from memaudit.models.augmentation import augmentation
from memaudit.models.resident_loader import ResidentLoader, batches_per_epoch


def splitmix(x: int) -> int:
    """The documented hash, in Python integers."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def test_the_augmentation_is_the_documented_hash():
    golden = 0x9E3779B97F4A7C15
    drawn = augmentation(seed=2**62 + 12345, epoch=7, n=50, padding=4, mirror=True)
    for example in range(50):
        start = splitmix((2**62 + 12345 + 8 * golden) % 2**64)
        bits = splitmix((start + (example + 1) * golden) % 2**64)
        assert drawn.flip[example] == bits & 1
        assert drawn.dy[example] == ((bits >> 16) % 2**24) * 9 >> 24
        assert drawn.dx[example] == ((bits >> 40) * 9) >> 24


def test_an_example_does_not_depend_on_the_number_of_examples():
    few, many = (augmentation(5, 3, n, 4, True) for n in (10, 1000))
    for one, other in zip(few, many, strict=True):
        assert np.array_equal(one, other[:10])


def test_all_offsets_and_both_flips_are_equally_likely():
    drawn = augmentation(1, 0, 90_000, 4, True)
    for offset in (drawn.dy, drawn.dx):
        assert np.abs(np.bincount(offset, minlength=9) - 10_000).max() < 500
    assert abs(drawn.flip.mean() - 0.5) < 0.01
    together = np.corrcoef([drawn.dy, drawn.dx, drawn.flip])
    assert np.abs(together - np.eye(3)).max() < 0.02
    later = augmentation(1, 1, 90_000, 4, True)
    assert abs(np.corrcoef(drawn.dy, later.dy)[0, 1]) < 0.02


def test_no_padding_and_no_mirror_change_nothing():
    drawn = augmentation(1, 0, 100, 0, False)
    assert not drawn.dy.any()
    assert not drawn.dx.any()
    assert not drawn.flip.any()


@pytest.mark.parametrize("padding", [0, 1, 3])
def test_batches_are_crops_and_flips_of_the_padded_images(small_dataset, padding, rng):
    loader = ResidentLoader(small_dataset, padding, torch.device("cpu"))
    order = rng.permutation(small_dataset.n_train)[:50]
    drawn = augmentation(9, 2, small_dataset.n_train, padding, True)
    size = small_dataset.train_images.shape[1]
    padded = np.pad(
        small_dataset.train_images, ((0, 0), (padding, padding), (padding, padding), (0, 0))
    )
    expected = []
    for example in order:
        dy, dx = drawn.dy[example], drawn.dx[example]
        window = padded[example, dy : dy + size, dx : dx + size]
        expected.append(window[:, ::-1] if drawn.flip[example] else window)
    batches = list(loader.train_batches(order, 16, seed=9, epoch=2, mirror=True))
    assert [len(labels) for _, labels in batches] == [16, 16, 16]
    images = torch.cat([images for images, _ in batches]).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(images, np.stack(expected)[:48].astype(np.float32) / 255)
    labels = torch.cat([labels for _, labels in batches]).numpy()
    assert np.array_equal(labels, small_dataset.train_labels[order[:48]])
    assert batches[0][0].is_contiguous(memory_format=torch.channels_last)


def test_an_order_shorter_than_a_batch_is_one_batch(small_dataset):
    loader = ResidentLoader(small_dataset, 1, torch.device("cpu"))
    batches = list(loader.train_batches(np.arange(5), 64, 0, 0, True))
    assert [len(labels) for _, labels in batches] == [5]
    assert batches_per_epoch(5, 64) == 1


def test_evaluation_is_not_augmented(small_dataset):
    loader = ResidentLoader(small_dataset, 2, torch.device("cpu"))
    for side, images in (
        ("train", small_dataset.train_images),
        ("test", small_dataset.test_images),
    ):
        found = torch.cat([batch for batch, _ in loader.evaluation_batches(side)])
        assert np.array_equal(found.permute(0, 2, 3, 1).numpy(), images.astype(np.float32) / 255)
