"""The training step, which all models of a job share and a GPU captures in a graph."""

import dataclasses

import numpy as np
import pytest
import torch
from test_training import CPU, RECIPE, train

from memaudit.models import networks
from memaudit.models.optimizer import SGD
from memaudit.models.precision import computing_in
from memaudit.models.resident_loader import ResidentLoader, cut_on_gpu, cut_rows
from memaudit.models.step import Step


def steps(step: Step, count: int, batch: int = 8) -> list[torch.Tensor]:
    """Train on random batches at a falling rate; the weights and batch statistics after that."""
    generator = torch.Generator().manual_seed(0)
    step.network.train()
    for at in range(count):
        images = torch.rand(batch, 3, 16, 16, generator=generator).to(step.device)
        labels = torch.arange(batch, device=step.device) % 4
        step(images.to(memory_format=torch.channels_last), labels, 0.1 / (at + 1))
    return [values.clone() for values in step.network.state_dict().values()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def test_a_diverged_model_does_not_affect_the_next():
    fresh, used = Step(RECIPE, 4, CPU), Step(RECIPE, 4, CPU)
    fresh.reset(7)
    expected = steps(fresh, 4)
    images = torch.full((8, 3, 16, 16), torch.nan)
    used(images, torch.zeros(8, dtype=torch.int64), 1.0)
    assert all(weights.isnan().any() for weights in used.network.parameters())
    used.reset(7)
    assert same(steps(used, 4), expected)
    used.reset(8)
    assert not same(steps(used, 4), expected)


def test_a_model_does_not_depend_on_those_trained_before(small_dataset):
    recipe = dataclasses.replace(RECIPE, weight_decay=0.01)
    step = Step(recipe, 3, CPU)
    for trial in (0, 1):
        model = train(small_dataset, recipe, trial, step=step)
        alone = train(small_dataset, recipe, trial)
        assert np.array_equal(model.loss, alone.loss)
        assert np.array_equal(model.test_correct, alone.test_correct)


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.9, 0.0), (0.9, 0.01), (0.0, 0.01)])
def test_both_forms_of_the_optimizer_agree_but_for_rounding(momentum, weight_decay):
    """A captured step needs the learning rate as a tensor."""
    networks_, results = [networks.build("tiny", 4, seed=0) for _ in range(2)], []
    for network, as_rate in zip(networks_, (float, torch.tensor), strict=True):
        optimizer = SGD(network.parameters(), momentum, weight_decay)
        generator = torch.Generator().manual_seed(0)
        for at in range(5):
            for parameter in network.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step(as_rate(0.1 / (at + 1)))
        assert all(parameter.grad is None for parameter in network.parameters())
        results.append(list(network.parameters()))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one.detach(), other.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mirrored", [True, False])
def test_both_ways_to_crop_give_the_same_pixels(small_dataset, rng, mirrored):
    loader = ResidentLoader(small_dataset, 2, CPU)
    examples = rng.permutation(small_dataset.n_train)[:20]
    dy, dx = rng.integers(0, 5, (2, 20))
    flip = rng.random(20) < 0.5 if mirrored else None
    arrays = [None if part is None else torch.from_numpy(part) for part in (examples, dy, dx, flip)]
    rows = cut_rows(loader.windows, *arrays)
    assert torch.equal(cut_on_gpu(loader.windows, *arrays), rows)
    padded = np.pad(small_dataset.train_images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    for at, example in enumerate(examples):
        window = padded[example, dy[at] : dy[at] + 8, dx[at] : dx[at] + 8]
        window = window[:, ::-1] if mirrored and flip[at] else window
        assert np.array_equal(rows[at], window)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("network", ["tiny", "resnet9"])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_captured_step_is_the_eager_one(network, precision):
    """Bit for bit, over several steps, models and batch sizes, one of which diverges."""
    recipe = dataclasses.replace(RECIPE, network=network, weight_decay=0.01)
    torch.backends.cudnn.deterministic = True
    device = torch.device("cuda")
    eager, captured = (Step(recipe, 4, device, graph=graph) for graph in (False, True))
    with computing_in(precision, device):
        for seed, batch in ((1, 8), (2, 8), (3, 12), (4, 8)):
            for step in (eager, captured):
                step.reset(seed)
            assert same(steps(eager, 6, batch), steps(captured, 6, batch))
            images = torch.full((batch, 3, 16, 16), torch.nan, device=device)
            captured(images, torch.zeros(batch, dtype=torch.int64, device=device), 1.0)
