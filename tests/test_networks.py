"""F&Z's network against its description: shapes, strides, order of layers, initial weights."""

import math

import pytest
import torch
from torch import nn

from memaudit.models import networks
from memaudit.models.preactivation import Bottleneck

CLASSES = 100


@pytest.fixture(scope="module")
def network():
    return networks.build("fz_resnet50", CLASSES, seed=3)


def described() -> list[tuple[int, int, int, int]]:
    """(width in, width out, size, stride) of all convolutions, from the description alone."""
    layers = [(3, 64, 3, 1)]
    width_in = 64
    for blocks, width, stride in ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)):
        for block in range(blocks):
            own = stride if block == 0 else 1
            layers += [(width_in, width, 1, 1), (width, width, 3, own), (width, 4 * width, 1, 1)]
            if block == 0:
                layers.append((width_in, 4 * width, 1, own))
            width_in = 4 * width
    return layers


def test_convolutions_are_those_described(network):
    found = [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
        for m in network.modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert found == described()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            assert module.padding[0] == module.kernel_size[0] // 2
        if isinstance(module, nn.BatchNorm2d):
            assert (module.momentum, module.eps) == (0.1, 1e-5)


def test_parameters_add_up(network):
    convolutions = sum(into * out * size * size for into, out, size, _ in described())
    # Two for each channel that a batch norm sees: what enters a convolution other than the stem and
    # the shortcuts, and the 2,048 channels at the end.
    inputs = [into for into, _, _, _ in described()[1:]]
    shortcuts = [64, 256, 512, 1024]
    norms = 2 * (sum(inputs) - sum(shortcuts) + 2048)
    output = 2048 * CLASSES + CLASSES
    total = sum(p.numel() for p in network.parameters())
    assert total == convolutions + norms + output == 23_697_572


def test_sizes_of_the_feature_maps(network):
    shapes = []
    hooks = [
        block.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
        for block in network.blocks
    ]
    network.eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 32, 32)).shape == (2, CLASSES)
        assert network.stem(torch.rand(1, 3, 32, 32)).shape == (1, 64, 32, 32)
    for hook in hooks:
        hook.remove()
    expected = [(256, 32, 32)] * 3 + [(512, 16, 16)] * 4 + [(1024, 8, 8)] * 6 + [(2048, 4, 4)] * 3
    assert shapes == expected


def test_the_first_prediction_is_uniform(network):
    assert not network.output.weight.any()
    assert not network.output.bias.any()
    network.train()
    output = network(torch.rand(4, 3, 32, 32))
    assert torch.equal(output.softmax(1), torch.full((4, CLASSES), 1 / CLASSES))
    loss = nn.functional.cross_entropy(output, torch.arange(4))
    assert loss.item() == pytest.approx(math.log(CLASSES), rel=1e-6)


def test_initial_weights(network):
    """A normal cut off at two sd has 0.8796 of its sd; no weight lies beyond, some lie near."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            weights = module.weight.detach()
            fan_in = module.in_channels * module.kernel_size[0] ** 2
            sd = 0.87962566 / math.sqrt(fan_in)
            count = weights.numel()
            assert float(weights.std()) == pytest.approx(sd, rel=4 / math.sqrt(count))
            assert abs(float(weights.mean())) < 5 * sd / math.sqrt(count)
            assert 1.9 < float(weights.abs().max()) * math.sqrt(fan_in) <= 2 + 1e-5
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


@pytest.mark.parametrize(("stride", "project"), [(1, False), (1, True), (2, True)])
def test_a_block_is_its_formula(stride, project):
    torch.manual_seed(0)
    block = Bottleneck(16, 4, stride, project).eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(values)
            nn.init.uniform_(module.running_var, 0.5, 2)
    x = torch.randn(2, 16, 8, 8)
    kept = x.clone()

    def before(norm, y):
        return norm(y).clamp(min=0)

    with torch.no_grad():
        found = block(x)
        first = before(block.norm0, x)
        inner = before(block.norm1, block.conv0(first))
        inner = nn.functional.conv2d(inner, block.conv1.weight, stride=stride, padding=1)
        inner = block.conv2(before(block.norm2, inner))
        direct = x
        if project:
            direct = nn.functional.conv2d(first, block.shortcut.weight, stride=stride)
    assert torch.allclose(found, inner + direct, atol=1e-6)
    assert torch.equal(x, kept), "the input is changed in place"


def test_all_of_it_learns(network):
    """From zero the output layer moves first; after one step every weight has a gradient."""
    network = networks.build("fz_resnet50", 10, seed=0).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())
