"""SGD with momentum, step for step the same as `torch.optim.SGD`.

torch's own class imports its compiler at the first step, which takes longer than training a small
model, and a study starts thousands of jobs.
"""

from collections.abc import Iterable

import torch
from torch import nn


class SGD:
    """buffer = momentum * buffer + gradient + weight_decay * weight; weight -= rate * buffer."""

    def __init__(self, parameters: Iterable[nn.Parameter], momentum: float, weight_decay: float):
        self.parameters: list[torch.Tensor] = list(parameters)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.buffers = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, rate: float | torch.Tensor) -> None:
        """Make one step at learning rate `rate`, and clear the gradients.

        `rate` as a float32 scalar tensor on the parameters' device may change between the replays
        of a captured step. Rounding differs between the two forms. Parameters without a gradient
        are left alone.
        """
        weights, gradients, buffers = [], [], []
        for weight, buffer in zip(self.parameters, self.buffers, strict=True):
            if weight.grad is not None:
                weights.append(weight)
                gradients.append(weight.grad)
                buffers.append(buffer)
        if isinstance(rate, torch.Tensor):
            torch._fused_sgd_(
                weights,
                gradients,
                buffers if self.momentum else [],
                weight_decay=self.weight_decay,
                momentum=self.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=False,  # buffers of zeros make the first step like any other
            )
        else:
            if self.weight_decay:
                torch._foreach_add_(gradients, weights, alpha=self.weight_decay)
            torch._foreach_mul_(buffers, self.momentum)
            torch._foreach_add_(buffers, gradients)
            torch._foreach_add_(weights, buffers, alpha=-rate)
        for weight in weights:
            weight.grad = None

    @torch.no_grad()
    def reset(self) -> None:
        """Return to the state before the first step."""
        torch._foreach_zero_(self.buffers)
