"""Features of whole images and of their cells, by which scenes are compared."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from memaudit.data.dataset import Dataset
from memaudit.duplicates.candidates import fit_whitening, whitened
from memaudit.duplicates.matching import Whitening
from memaudit.duplicates.views import SIDE, squares
from memaudit.errors import AuditError
from memaudit.models import networks
from memaudit.models.precision import computing_in
from memaudit.models.recipe import Recipe
from memaudit.models.resident_loader import ResidentLoader, batches_per_epoch
from memaudit.models.step import Step
from memaudit.models.training import ModelJob, train_model

RECIPE = Recipe(
    network="memaudit.duplicates.network:scene",
    epochs=7,
    batch_size=128,
    learning_rate=0.1,
    warmup=0.25,
    momentum=0.9,
    weight_decay=5e-4,
    crop_padding=4,
    mirror=True,
)
STEPS = 1000  # training steps at least: of fewer images there are more epochs
FEWEST = 3000  # training images to train a network on; of fewer, classical features are used
_DIMS = 192  # principal components of the channel statistics
_SHRINKAGE = 0.02  # of their whitening; they are standardized
_LAYERS = 3  # groups of the network whose channel statistics are used; the last one has the cells
_SCALES = (SIDE, 44)  # sides in pixels at which training images pass through the network
_FITTED = 4000  # images to which the whitening of the cells is fitted, at most
_CHECKED = 64  # images that an embedding of the user's own is tried on, at most
Progress = Callable[[int, int], None]


class Features(Protocol):
    """Features of images, uint8 (b, h, w, 3).

    `train` holds the unit vectors (n, d) of the training images; `vectors` returns those of others,
    `cells` vectors (b, n, k) of the cells of each image, of
    training images at several scales, or None. `kind` is that of the coefficients that turn them
    into probabilities.
    """

    kind: str
    train: torch.Tensor

    def vectors(self, images: np.ndarray) -> torch.Tensor: ...

    def cells(self, images: np.ndarray, is_train: bool) -> torch.Tensor | None: ...


def check_embedding(name: str, images: np.ndarray) -> None:
    """Raise AuditError unless package.module:function embeds some of the images.

    To be called before a long search.
    """
    OwnFeatures(name, images[:: -(-len(images) // _CHECKED)])


def features_of(
    embedding: str,
    data: Dataset,
    seed: int,
    training: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Features:
    """Return the features "network", "classical" or those of package.module:function.

    `training` is called with the steps trained and their number, `note` if there are too few images
    to train a network, so that classical features are returned instead.

    Raises AuditError when a function of the user's own cannot be used.
    """
    if embedding == "network" and data.n_train < FEWEST:
        embedding = "classical"
        if note is not None:
            note(
                f"{data.n_train:,} training images are too few to train a network "
                f"(at least {FEWEST:,}): scenes are searched by classical features"
            )
    if embedding == "classical":
        return ClassicalFeatures(data.train_images)
    if embedding == "network":
        return NetworkFeatures(train_network(data, seed, training), data.train_images)
    return OwnFeatures(embedding, data.train_images)


class _ShownLoader(ResidentLoader):
    """A loader that calls `training` after each of `steps` batches."""

    training: Progress | None = None
    steps = done = 0

    def train_batches(self, *arguments: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in super().train_batches(*arguments):
            yield batch
            self.done += 1
            if self.training is not None:
                self.training(self.done, self.steps)


def train_network(data: Dataset, seed: int, training: Progress | None = None) -> nn.Sequential:
    """Train the small network on all training images, at 32 x 32 pixels, by RECIPE.

    With few images for more epochs, so that there are STEPS steps. `training` is called with the
    steps done and their number.
    """
    small = replace(
        data,
        train_images=_resampled(data.train_images),
        test_images=_resampled(data.test_images[:1]),
        test_labels=data.test_labels[:1],
    )
    device = torch.device("cpu")
    size = min(RECIPE.batch_size, data.n_train)
    each = batches_per_epoch(data.n_train, size)
    epochs = max(RECIPE.epochs, math.ceil(STEPS / each))
    recipe = replace(RECIPE, batch_size=size, epochs=epochs, precision=_precision())
    step = Step(recipe, len(data.class_names), device)
    loader = _ShownLoader(small, recipe.crop_padding, device)
    loader.training, loader.steps = training, epochs * each
    mask = np.ones(data.n_train, dtype=bool)
    train_model(loader, step, ModelJob(seed=seed, trial=0, mask=mask, name="duplicates.embedding"))
    step.network.eval()
    assert isinstance(step.network, nn.Sequential)
    return step.network


def _precision() -> str:
    """Return bfloat16 where the CPU computes in it, in half the time; emulated it is slower."""
    can = torch.cpu.get_capabilities()
    return "bfloat16" if can.get("avx512_bf16") or can.get("amx_bf16") else "float32"


def _resampled(images: np.ndarray) -> np.ndarray:
    """Return images (n, h, w, 3) uint8 at 32 x 32 pixels."""
    if images.shape[1:3] == (SIDE, SIDE):
        return images
    parts = [(x * 255).round().byte().permute(0, 2, 3, 1).numpy() for x in squares(images)]
    return np.concatenate(parts)


class NetworkFeatures:
    """Features of a trained network: channel statistics, and the cells of its third group."""

    kind = "network"

    @torch.inference_mode()
    def __init__(self, network: nn.Sequential, train_images: np.ndarray):
        self._network = network
        statistics = torch.cat([self._statistics(x) for x in squares(train_images)])
        self._mean, self._scale = statistics.mean(0), statistics.std(0) + 1e-6
        statistics.sub_(self._mean).div_(self._scale)
        starts = range(0, len(statistics), _FITTED)
        blocks = (statistics[k : k + _FITTED].double() for k in starts)
        covariance = torch.stack([block.T @ block for block in blocks]).sum(0) / len(statistics)
        power, basis = torch.linalg.eigh(covariance)
        power, basis = power[-_DIMS:].clamp_min(0), basis[:, -_DIMS:]
        self._projection = (basis / torch.sqrt(power + _SHRINKAGE)).float()
        self.train = F.normalize(statistics @ self._projection, dim=1)
        self._whiten = Whitening()
        for x in squares(train_images[:: -(-len(train_images) // _FITTED)]):
            self._whiten.add(self._outputs(x)[-1].flatten(2).transpose(1, 2).flatten(0, 1))
        self._whiten.fit()

    def _outputs(self, images: torch.Tensor) -> list[torch.Tensor]:
        outputs = [images.contiguous(memory_format=torch.channels_last)]
        with computing_in(_precision(), torch.device("cpu")):
            for group in self._network[:_LAYERS]:
                outputs.append(group(outputs[-1]))
        return [output.float() for output in outputs[1:]]

    def _statistics(self, images: torch.Tensor) -> torch.Tensor:
        found = []
        for output in self._outputs(images):
            spread, mean = torch.std_mean(output.flatten(2), 2)
            found += [mean, spread]
        return torch.cat(found, 1)

    def vectors(self, images: np.ndarray) -> torch.Tensor:
        return self._vectors(torch.cat([self._statistics(x) for x in squares(images)]))

    def _vectors(self, statistics: torch.Tensor) -> torch.Tensor:
        return F.normalize((statistics - self._mean) / self._scale @ self._projection, dim=1)

    def cells(self, images: np.ndarray, is_train: bool) -> torch.Tensor | None:
        return torch.cat([self._cells(x, is_train) for x in squares(images)])

    def _cells(self, x: torch.Tensor, is_train: bool) -> torch.Tensor:
        found = []
        for side in _SCALES if is_train else _SCALES[:1]:
            y = x
            if side != SIDE:
                y = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
            found.append(self._outputs(y)[-1].flatten(2).transpose(1, 2))
        return self._whiten(torch.cat(found, 1))


class ClassicalFeatures:
    """The features of the finder's candidates: whitened pixels and gradients. No training."""

    kind = "classical"

    @torch.inference_mode()
    def __init__(self, train_images: np.ndarray):
        self._whiten = fit_whitening(train_images)
        self.train = self.vectors(train_images)

    def vectors(self, images: np.ndarray) -> torch.Tensor:
        return torch.cat([whitened(x, self._whiten) for x in squares(images)])

    def cells(self, images: np.ndarray, is_train: bool) -> torch.Tensor | None:
        return None


class OwnFeatures:
    """Vectors by a function of the user's own: uint8 images (b, h, w, 3) to floats (b, d).

    They are centred by the mean of the training images. Mirrored images are passed as such.
    """

    kind = "embedding"

    def __init__(self, name: str, train_images: np.ndarray):
        self._name = name
        self._function = networks.own_function(name, "embedding")
        self._width = 0
        some = self._embedded(train_images[:: -(-len(train_images) // _FITTED)])
        if len(some) > 1 and (some == some[0]).all():
            raise AuditError(
                f"embedding {name}: returned the same vector for all of {len(some):,} images; "
                "must differ between images"
            )
        self._mean = some.mean(0)
        blocks = range(0, len(train_images), _FITTED)
        self.train = torch.cat([self.vectors(train_images[k : k + _FITTED]) for k in blocks])

    def _embedded(self, images: np.ndarray) -> torch.Tensor:
        try:
            found: Any = self._function(images.copy())  # which it may change
            vectors = torch.as_tensor(np.asarray(found, dtype=np.float32))
        except Exception as error:
            raise networks.failed("embedding", self._name, "failed", error) from error
        shape = tuple(vectors.shape)
        if vectors.ndim != 2 or len(vectors) != len(images) or not vectors.numel():
            wrong = f"returned {shape} for {len(images)} images; must be one vector per image"
        elif self._width not in (0, shape[1]):
            wrong = f"returned vectors of {shape[1]} values, after others of {self._width}"
        elif not vectors.isfinite().all():
            wrong = "returned values that are not finite"
        else:
            self._width = shape[1]
            return vectors
        raise AuditError(f"embedding {self._name}: {wrong}")

    def vectors(self, images: np.ndarray) -> torch.Tensor:
        return F.normalize(self._embedded(images) - self._mean, dim=1)

    def cells(self, images: np.ndarray, is_train: bool) -> torch.Tensor | None:
        return None
