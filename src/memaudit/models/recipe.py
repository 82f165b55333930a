"""A recipe: a named way to train. Needs no torch."""

import dataclasses
from dataclasses import dataclass
from typing import Any

PRECISIONS = ("float32", "tf32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a model is trained, besides the data and the seeds.

    SGD with momentum on the cross-entropy loss. The learning rate rises linearly from 0 to
    `learning_rate` over the fraction `warmup` of the steps, then falls linearly to 0 (the
    triangular schedule of Feldman & Zhang). `weight_decay` is torch's and applies to all
    parameters; `crop_padding` is in pixels.

    `network` is a shipped network or package.module:function (see `memaudit.models.networks`).

    `precision` is that of convolutions and matrix products; weights, updates and loss are always
    float32. "float32" is IEEE single precision, "tf32" rounds their inputs to TF32 (GPUs of compute
    capability 8.0 or later), "bfloat16" is torch's autocast.

    A field added here later needs a default: see `memaudit.models.identity`.
    """

    network: str
    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    momentum: float
    weight_decay: float
    crop_padding: int
    mirror: bool
    precision: str = "float32"

    @classmethod
    def of(cls, settings: dict[str, Any]) -> "Recipe":
        """Build a recipe from the configuration's `recipes.<name>`; extra keys are an error."""
        return cls(**settings)

    def settings(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return dataclasses.asdict(self)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate at the middle of step `step` (from 0) of `steps`."""
        progress = (step + 0.5) / steps
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        return self.learning_rate * (1 - progress) / (1 - self.warmup)
