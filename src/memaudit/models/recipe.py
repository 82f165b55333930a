"""A recipe: a named way to train."""

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """All that decides how a model is trained, besides the data and the seeds.

    SGD with momentum on the cross-entropy; the rate rises linearly from 0 to `learning_rate` over
    the first `warmup` part of the steps, then falls linearly to 0 (F&Z's triangular schedule).
    `weight_decay` is torch's, on all parameters. `crop_padding` in pixels. `precision` is that of
    the network's products and sums: "float32", or "bfloat16" (torch's autocast; weights, their
    updates and the loss stay float32).
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
        """From the configuration's `recipes.<name>`; extra keys are an error."""
        return cls(**settings)

    def settings(self) -> dict[str, Any]:
        """As plain values, for attributes and comparisons."""
        return dataclasses.asdict(self)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of step `step` (from 0) of `steps`, taken at the middle of the step."""
        progress = (step + 0.5) / steps
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        return self.learning_rate * (1 - progress) / (1 - self.warmup)
