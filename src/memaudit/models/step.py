"""One training step, with the network it trains: made once per job, used for all its models.

The code is the same on every device. On a GPU the step is captured in a CUDA graph (see "CUDA
Graphs" in PyTorch's notes on CUDA semantics): its hundreds of kernels are launched as one.
"""

import torch
from torch.nn import functional

from memaudit.models import networks
from memaudit.models.optimizer import SGD
from memaudit.models.recipe import Recipe

WARM_UP = 3  # steps before a capture, in which libraries allocate what they keep


class Step:
    """Forward pass, backward pass and SGD of `recipe` on `device`, with `classes` outputs.

    `network` and `optimizer` keep their memory from model to model: `reset` begins a new model.
    With `graph` the step is captured on a GPU; otherwise, and on the CPU, each step is eager. The
    numbers are the same either way.
    """

    def __init__(self, recipe: Recipe, classes: int, device: torch.device, graph: bool = True):
        self.recipe, self.classes, self.device = recipe, classes, device
        network = networks.build(recipe.network, classes, seed=0)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.optimizer = SGD(self.network.parameters(), recipe.momentum, recipe.weight_decay)
        self._rate = torch.zeros((), device=device)
        self._captures = graph and device.type == "cuda"
        self._graph: torch.cuda.CUDAGraph | None = None

    def reset(self, seed: int) -> None:
        """Begin a new model: weights drawn from `seed` on the CPU, the rest as before any step.

        Everything that a step reads is overwritten in place, so a model that diverged leaves
        nothing to the next.
        """
        fresh = networks.build(self.recipe.network, self.classes, seed)
        self.network.load_state_dict(fresh.state_dict())
        self.optimizer.reset()

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, rate: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn from one batch; return the mean loss and the number correct before the step.

        images float32 (batch, 3, h, w) in channels_last memory, labels int64 (batch,); both results
        are scalars on the device, and nothing waits for it. The caller chooses the precision and
        the network's mode.
        """
        if self.device.type != "cuda":
            return self._step(images, labels, rate)
        self._rate.fill_(rate)
        if not self._captures:
            return self._step(images, labels, self._rate)
        if self._graph is None or images.shape != self._images.shape:
            self._graph = self._capture(images, labels)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        return self._loss.clone(), self._correct.clone()

    def _step(
        self, images: torch.Tensor, labels: torch.Tensor, rate: float | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output = self.network(images)
        loss = functional.cross_entropy(output.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(rate)
        return loss.detach(), (output.detach().argmax(1) == labels).sum()

    def _capture(self, images: torch.Tensor, labels: torch.Tensor) -> torch.cuda.CUDAGraph:
        """Capture the step for batches of this shape; the model stays as it is."""
        self._graph = None  # frees the memory of a graph for another shape
        self._images, self._labels = images.clone(), labels.clone()
        model = [*self.network.parameters(), *self.network.buffers(), *self.optimizer.buffers]
        before = [values.detach().clone() for values in model]
        random_state = torch.cuda.get_rng_state(self.device)  # of dropout
        here = torch.cuda.current_stream(self.device)
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step(self._images, self._labels, self._rate)
        here.wait_stream(stream)
        captured = torch.cuda.CUDAGraph()
        # thread_local: FFCV's thread may call CUDA meanwhile
        with torch.cuda.graph(captured, stream=stream, capture_error_mode="thread_local"):
            self._loss, self._correct = self._step(self._images, self._labels, self._rate)
        with torch.no_grad():
            for values, kept in zip(model, before, strict=True):
                values.copy_(kept)
        torch.cuda.set_rng_state(random_state, self.device)
        return captured
