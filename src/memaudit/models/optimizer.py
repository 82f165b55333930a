"""SGD with momentum, step for step what `torch.optim.SGD` does.

torch's own class imports its compiler at the first step, which takes longer than training a small
model does; a study starts thousands of jobs.
"""

from collections.abc import Iterable

import torch
from torch import nn


class SGD:
    """buffer = momentum * buffer + gradient + weight_decay * weight; weight -= rate * buffer."""

    def __init__(self, parameters: Iterable[nn.Parameter], momentum: float, weight_decay: float):
        self.parameters = list(parameters)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.buffers = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, rate: float | torch.Tensor) -> None:
        """One step at learning rate `rate`; the gradients are used up.

        As a float32 scalar tensor on the weights' device, `rate` may change between the replays of
        a captured step. Rounding differs between the two forms.
        """
        gradients = [parameter.grad for parameter in self.parameters]
        if isinstance(rate, torch.Tensor):
            torch._fused_sgd_(
                self.parameters,
                gradients,
                self.buffers,
                weight_decay=self.weight_decay,
                momentum=self.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
                is_first_step=False,  # with buffers of zeros it is like any other
            )
        else:
            if self.weight_decay:
                torch._foreach_add_(gradients, self.parameters, alpha=self.weight_decay)
            torch._foreach_mul_(self.buffers, self.momentum)
            torch._foreach_add_(self.buffers, gradients)
            torch._foreach_add_(self.parameters, self.buffers, alpha=-rate)
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def reset(self) -> None:
        """As if no step had been made."""
        torch._foreach_zero_(self.buffers)
