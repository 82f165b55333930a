"""One step of training, with the network it trains: made once a job, used for all its models.

The code is the same on every device. On a GPU the step is captured in a CUDA graph (see "CUDA
Graphs" in PyTorch's notes on CUDA semantics): its hundreds of kernels are launched as one.
"""

import torch
from torch.nn import functional

from memaudit.models import networks
from memaudit.models.optimizer import SGD
from memaudit.models.recipe import Recipe

WARM_UP = 3  # steps before a capture, so that libraries have allocated what they keep


class Step:
    """Forward, backward and SGD of `recipe` on `device`, for networks of `classes` outputs.

    `network` and `optimizer` stay where they are in memory from model to model: `reset` begins a
    new model. `graph` captures the step on a GPU; without it, and on the CPU, each step is eager.
    The numbers are the same either way.
    """

    def __init__(self, recipe: Recipe, classes: int, device: torch.device, graph: bool = True):
        self.network_name, self.classes, self.device = recipe.network, classes, device
        network = networks.build(recipe.network, classes, seed=0)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.optimizer = SGD(self.network.parameters(), recipe.momentum, recipe.weight_decay)
        on_gpu = device.type == "cuda"
        self._rate = torch.zeros((), device=device) if on_gpu else None
        self._captures = graph and on_gpu
        self._graph: torch.cuda.CUDAGraph | None = None

    def reset(self, seed: int) -> None:
        """A new model: weights drawn from `seed` on the CPU, all else as before any step.

        Everything that a step reads is written over, in place, so a model that diverged leaves
        nothing to the next.
        """
        fresh = networks.build(self.network_name, self.classes, seed)
        self.network.load_state_dict(fresh.state_dict())
        self.optimizer.reset()

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, rate: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn from one batch; (mean loss, number right before the step), scalars on the device.

        images float32 (batch, 3, h, w) in channels_last memory, labels int64 (batch,). The caller
        chooses the precision (torch.autocast, without its cache) and the network's mode. Nothing
        waits for the device.
        """
        if self._rate is None:
            return self._step(images, labels, rate)
        self._rate.fill_(rate)
        if not self._captures:
            return self._step(images, labels, self._rate)
        if self._graph is None or images.shape != self._images.shape:
            self._capture(images, labels)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._loss.clone(), self._right.clone()

    def _step(
        self, images: torch.Tensor, labels: torch.Tensor, rate: float | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output = self.network(images)
        loss = functional.cross_entropy(output.float(), labels)
        loss.backward()
        self.optimizer.step(rate)
        return loss.detach(), (output.detach().argmax(1) == labels).sum()

    def _capture(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Capture the step for batches of this shape; the model is as before."""
        self._graph = None  # frees the memory of another shape's
        self._images, self._labels = images.clone(), labels.clone()
        model = [*self.network.parameters(), *self.network.buffers(), *self.optimizer.buffers]
        before = [values.detach().clone() for values in model]
        here = torch.cuda.current_stream(self.device)
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step(self._images, self._labels, self._rate)
        here.wait_stream(stream)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured, stream=stream):
            self._loss, self._right = self._step(self._images, self._labels, self._rate)
        with torch.no_grad():
            for values, kept in zip(model, before, strict=True):
                values.copy_(kept)
        self._graph = captured
