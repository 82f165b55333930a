"""The GPU's code path on a machine without a GPU: tensors without data on "cuda:0".

FakeTensorMode computes shapes, dtypes and devices only, and raises where an operation mixes
devices. Nothing is computed, so these tests find misplaced tensors, not wrong numbers.
"""

import contextlib
import dataclasses

import numpy as np
import pytest
import torch
from test_training import CPU, RECIPE, train
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from memaudit.models import networks, resident_loader, training
from memaudit.models.precision import computing_in
from memaudit.models.resident_loader import ResidentLoader
from memaudit.models.step import Step

GPU = torch.device("cuda:0")
BATCH = 8


@pytest.fixture
def images(small_dataset):
    """Return a dataset of 32 x 32 pixels, which all networks accept."""
    enlarged = {
        name: getattr(small_dataset, name).repeat(4, axis=1).repeat(4, axis=2)
        for name in ("train_images", "test_images")
    }
    return dataclasses.replace(small_dataset, **enlarged)


@pytest.fixture
def fake_gpu(monkeypatch):
    """Compute on fake tensors, and replace what requires a CUDA context."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    build = networks.build
    # entered first: where torch reports no GPU, it replaces the guards that need a driver
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:

        def build_fake(*given, **options):
            with unset_fake_temporarily():
                network = build(*given, **options)
            return replaced(network, mode.from_tensor)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # asked by autocast
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *given, **options: True)
        monkeypatch.setattr(nn.Module, "to", moved)
        monkeypatch.setattr(torch, "_fused_sgd_", checked_sgd)
        monkeypatch.setattr(networks, "build", build_fake)
        yield
    for backend, value in zip(backends, before, strict=True):
        backend.fp32_precision = value


def replaced(network: nn.Module, convert) -> nn.Module:
    """Convert all parameters and buffers; Module._apply cannot replace fake ones."""
    for module in network.modules():
        for name, values in module._parameters.items():
            if values is not None:
                module._parameters[name] = nn.Parameter(convert(values.detach()))
        for name, values in module._buffers.items():
            if values is not None:
                module._buffers[name] = convert(values)
    return network


def moved(network: nn.Module, device=None, memory_format=torch.preserve_format) -> nn.Module:
    """Stand in for `Module.to`."""

    def convert(values):
        layout = memory_format if values.dim() == 4 else torch.preserve_format
        return values.to(device=device or values.device, memory_format=layout)

    return replaced(network, convert)


def checked_sgd(weights, gradients, buffers, **options) -> None:
    """Stand in for the fused kernel: it requires equal devices, types and strides."""
    assert not buffers or options["momentum"]
    assert options["lr"].device == GPU and options["lr"].dtype == torch.float32
    for group in (gradients, *([buffers] if buffers else [])):
        for weight, values in zip(weights, group, strict=True):
            assert weight.device == values.device == GPU
            assert weight.dtype == values.dtype == torch.float32
            assert weight.stride() == values.stride()


@pytest.fixture
def on_gpu(fake_gpu, monkeypatch, images):
    """Return a function that trains one epoch and evaluates as `train_model` does."""

    def run(recipe):
        step = Step(recipe, len(images.class_names), GPU, graph=False)
        loader = ResidentLoader(images, recipe.crop_padding, GPU)
        step.network.train()

        def backward(loss):  # the engine requires a CUDA context
            assert loss.device == GPU and loss.dtype == torch.float32
            for weight in step.network.parameters():
                weight.grad = torch.empty_like(weight)

        monkeypatch.setattr(torch.Tensor, "backward", backward)
        order = np.arange(2 * BATCH)
        results = []
        with computing_in(recipe.precision, GPU):
            for batch in loader.train_batches(order, BATCH, 0, 0, recipe.mirror):
                results += step(*batch, 0.1)
        losses, hits = results[::2], results[1::2]
        torch.stack(losses).mean(), torch.stack(hits).sum()
        # the results are copied to the CPU, where fake tensors have no numbers
        monkeypatch.setattr(torch.Tensor, "numpy", lambda values: tuple(values.shape))
        correct, margins = training._evaluate(step, loader, "train")
        assert correct == (images.n_train,)
        assert set(margins.values()) == {(images.n_train,)}
        return results

    return run


@pytest.mark.parametrize(
    ("network", "precision"),
    [
        ("tiny", "float32"),
        ("tiny", "bfloat16"),
        ("resnet9", "bfloat16"),
        ("fz_resnet50", "float32"),
    ],
)
def test_a_model_is_trained_and_evaluated_on_the_gpu(on_gpu, network, precision):
    recipe = dataclasses.replace(RECIPE, network=network, precision=precision, weight_decay=0.01)
    results = on_gpu(recipe)
    assert len(results) == 4 and all(values.device == GPU for values in results)


def test_training_without_momentum_passes_no_buffers(on_gpu):
    on_gpu(dataclasses.replace(RECIPE, momentum=0.0))


def on_cpu(wrapped):
    """Return a function whose results are left on the CPU."""

    def wrong(*given, **options):
        return wrapped(*given, **options).cpu()

    return wrong


def planted(monkeypatch, fault: str) -> None:
    """Leave one tensor on the CPU."""
    if fault == "a batch":
        monkeypatch.setattr(resident_loader, "to_network", on_cpu(resident_loader.to_network))
    elif fault == "the crops":
        monkeypatch.setattr(resident_loader, "cut_on_gpu", on_cpu(resident_loader.cut_on_gpu))
    elif fault == "the labels":
        made = ResidentLoader.__init__

        def init(loader, *given):
            made(loader, *given)
            loader.train_labels = loader.train_labels.cpu()

        monkeypatch.setattr(ResidentLoader, "__init__", init)
    elif fault == "the network":
        monkeypatch.setattr(nn.Module, "to", lambda network, *given, **options: network)
    else:
        begun = Step.__init__

        def init(step, *given, **options):
            begun(step, *given, **options)
            if fault == "the rate":
                step._rate = step._rate.cpu()
            else:
                step.optimizer.buffers = [values.cpu() for values in step.optimizer.buffers]

        monkeypatch.setattr(Step, "__init__", init)


@pytest.mark.parametrize(
    "fault", ["a batch", "the crops", "the labels", "the network", "the rate", "the momentum"]
)
def test_a_tensor_on_the_wrong_device_is_found(on_gpu, monkeypatch, fault):
    planted(monkeypatch, fault)
    with pytest.raises((RuntimeError, AssertionError), match=r"cpu") as error:
        on_gpu(RECIPE)
    print(fault, str(error.value)[:300])


def test_evaluation_takes_fewer_images_where_memory_is_short(small_dataset, monkeypatch):
    """With a network that fails above a number of images, as on a GPU of little memory."""
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(training, "SMALLEST_BATCH", 4)
    recipe = dataclasses.replace(RECIPE, batch_size=4)
    expected = train(small_dataset, recipe, margins=True)
    limit, seen = 5, []

    class Limited(Step):
        def __init__(self, *given):
            super().__init__(*given)
            self.network.register_forward_pre_hook(self.check)

        def check(self, network, given):
            if not network.training and len(given[0]) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory")
            seen.append(len(given[0]))

    step = Limited(recipe, 3, CPU)
    model = train(small_dataset, recipe, step=step, margins=True)
    assert max(seen) == 4
    assert np.array_equal(model.train_correct, expected.train_correct)
    for name, values in expected.margins.items():
        np.testing.assert_allclose(model.margins[name], values, rtol=2e-3, atol=2e-3)
    limit = 3
    with pytest.raises(torch.OutOfMemoryError):
        train(small_dataset, recipe, step=step)


class Stream:
    """Stand in for `torch.cuda.Stream`."""

    def __init__(self, device=None):
        pass

    def wait_stream(self, other):
        pass


@pytest.fixture
def captures(monkeypatch):
    """Stand in for CUDA graphs: capturing runs the step eagerly. Returns the options given."""
    given = {}

    @contextlib.contextmanager
    def graph(captured, **options):
        given.update(options)
        yield

    cuda = torch.cuda
    monkeypatch.setattr(cuda, "graph", graph)
    monkeypatch.setattr(cuda, "CUDAGraph", lambda: "graph")
    monkeypatch.setattr(cuda, "Stream", Stream)
    monkeypatch.setattr(cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(cuda, "current_stream", Stream)
    monkeypatch.setattr(cuda, "get_rng_state", lambda device: None)
    monkeypatch.setattr(cuda, "set_rng_state", lambda state, device: None)
    return given


def random_images(count: int, generator: torch.Generator) -> torch.Tensor:
    images = torch.rand(count, 3, 8, 8, generator=generator)
    return images.to(memory_format=torch.channels_last)


def test_a_capture_tolerates_other_threads_and_leaves_the_model_as_it_was(captures):
    step = Step(dataclasses.replace(RECIPE, momentum=0.0), 3, CPU)
    step.reset(1)
    before = [values.clone() for values in step.network.state_dict().values()]
    step._rate.fill_(0.1)
    images = random_images(4, torch.Generator().manual_seed(0))
    assert step._capture(images, torch.zeros(4, dtype=torch.int64)) == "graph"
    assert captures["capture_error_mode"] == "thread_local"
    assert all(map(torch.equal, step.network.state_dict().values(), before))


def test_a_captured_step_is_the_eager_one(captures, monkeypatch):
    """Replay runs the step on the captured tensors, over models and two shapes of batches."""
    recipe = dataclasses.replace(RECIPE, weight_decay=0.01)
    eager, captured = (Step(recipe, 3, CPU) for _ in range(2))
    graphs = []

    class Graph:
        def __init__(self):
            graphs.append(self)

        def replay(self):
            images, labels, rate = captured._images, captured._labels, captured._rate
            loss, correct = captured._step(images, labels, rate)
            captured._loss.copy_(loss)
            captured._correct.copy_(correct)

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    captured.device, captured._captures = GPU, True  # only its type is read
    for seed, batch in ((1, 8), (2, 8), (3, 12), (4, 8)):
        eager.reset(seed)
        captured.reset(seed)
        generator = torch.Generator().manual_seed(seed)
        for at in range(4):
            images, labels = random_images(batch, generator), torch.arange(batch) % 3
            eager._rate.fill_(0.1 / (at + 1))
            expected = eager._step(images, labels, eager._rate)
            assert all(map(torch.equal, captured(images, labels, 0.1 / (at + 1)), expected))
        states = (step.network.state_dict().values() for step in (eager, captured))
        assert all(map(torch.equal, *states))
    assert len(graphs) == 3
