"""Networks: F&Z's against its description, and those of the user's own."""

import dataclasses
import hashlib
import math
import re
import subprocess
import sys

import pytest
import torch
import yaml
from conftest import ROOT
from test_training import RECIPE
from torch import nn

from memaudit.errors import AuditError
from memaudit.models import job, networks
from memaudit.models.network_names import NETWORKS, check_name, network_source
from memaudit.models.preactivation import Bottleneck
from memaudit.models.shards import Origin, read_shards
from memaudit.study import endings, jobs
from memaudit.study.checks import read_config

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


def test_convolutions_match_the_description(network):
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


def test_the_number_of_parameters(network):
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
    """A normal distribution truncated at two SD has 0.8796 of its SD."""
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


def test_every_parameter_gets_a_gradient(network):
    """From zero the output layer moves first; after one step every weight has a gradient."""
    network = networks.build("fz_resnet50", 10, seed=0).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())


def test_small_is_its_description():
    """Convolutions with their padding and stride, pooling, residuals, and normalised pixels."""
    network = networks.build("small", CLASSES, seed=1).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(values)
            nn.init.uniform_(module.running_var, 0.5, 2)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.out_channels for m in convolutions] == [40, 80, 80, 192, 192]
    images = torch.rand(3, 3, 32, 32)
    x = torch.stack(
        [
            (images[:, at] - mean) / sd
            for at, (mean, sd) in enumerate(
                [(0.507, 0.267), (0.487, 0.256), (0.441, 0.276)]  # of CIFAR-100's training images
            )
        ],
        dim=1,
    )
    for at, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True)):
        y = nn.functional.conv2d(x, convolution.weight, stride=2 if at == 0 else 1, padding=1)
        if at in (1, 3):
            y = nn.functional.max_pool2d(y, 2)
        y = norm(y).clamp(min=0)
        x = x + y if at in (2, 4) else y
    assert x.shape == (3, 192, 4, 4)
    with torch.no_grad():
        expected = network[-1](x.amax(dim=(2, 3)))
        assert torch.allclose(network(images), expected, rtol=1e-4, atol=1e-4)


OWN = """
import numpy
import torch
from torch import nn


def good(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, classes))


def wide(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, classes + 1))


def no_module(classes):
    return "network"


def broken(classes):
    raise RuntimeError("out of ideas")


def no_seed(classes):
    network = good(classes)
    network[1].bias.data = torch.tensor(numpy.random.random(classes)).float()
    return network


class Late(nn.Sequential):
    def forward(self, x):
        if self.training:
            raise ValueError("late failure")
        return super().forward(x)


def late(classes):
    return Late(*good(classes))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of networks in the working folder, of a name of its own for each test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    folder = tmp_path / f"nets_{tmp_path.name}"
    folder.mkdir()
    (folder / "small.py").write_text(OWN)
    return f"{folder.name}.small"


def checked(name):
    network = networks.build(name, 3, seed=0)
    networks.check(name, network, 3, torch.zeros(2, 3, 8, 8))
    return network


def test_a_network_of_the_users_own(own):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (networks.build(f"{own}:good", 3, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one[1].weight, two[1].weight)
    assert not torch.equal(one[1].weight, other[1].weight)
    checked(f"{own}:good")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("wide", r"output is \(2, 4\) for 8x8 images, not \(2, 3\)"),
        ("no_module", r"returned str, not torch\.nn\.Module"),
        ("broken", r"broken\(3\) failed \(RuntimeError: out of ideas, raised in small\.py, line"),
        ("no_seed", "initial weights differ for the same torch.manual_seed"),
        ("missing", r"small\.py has no function missing"),
    ],
)
def test_what_is_wrong_with_a_network_is_named(own, function, message):
    with pytest.raises(AuditError, match=rf"network {own}:{function}: .*{message}"):
        checked(f"{own}:{function}")


def test_an_error_while_training_names_the_users_line(own, tmp_path, capsys):
    log = tmp_path / "1.log"
    network = checked(f"{own}:late")
    with pytest.raises(SystemExit), jobs.job(log):
        network.train()(torch.zeros(2, 3, 8, 8))
    line = OWN.splitlines().index('            raise ValueError("late failure")') + 1
    why = f"ValueError: late failure, raised in small.py, line {line}; the log has the traceback"
    assert endings.failure(log, 0) == why
    assert capsys.readouterr().err == f"error: {why}\n"
    assert "Traceback" in log.read_text()


def test_a_network_that_does_not_fit_the_images_is_named(own):
    name = f"{own}:good"
    with pytest.raises(AuditError, match=rf"{name}: cannot process images of 9x9 pixels \("):
        networks.check(name, networks.build(name, 3, 0), 3, torch.zeros(2, 3, 9, 9))


def test_a_module_that_cannot_be_imported_is_named(own, tmp_path):
    with pytest.raises(AuditError, match=r"module no_such\.module not found in .*no_such/module"):
        networks.build("no_such.module:f", 3, 0)
    with pytest.raises(AuditError, match="json:f: "):  # a file of the study may not hide a library
        (tmp_path / "json.py").write_text(OWN)
        networks.build("json:f", 3, 0)
    (tmp_path / f"bad_{tmp_path.name}.py").write_text("import no_such_package")
    with pytest.raises(AuditError, match=r"importing .* failed \(ModuleNotFoundError: .*no_such_p"):
        networks.build(f"bad_{tmp_path.name}:f", 3, 0)


@pytest.mark.parametrize(
    "name", ["vgg", "a.b:", ":f", "a/b:f", "a.b:f.g", "a..b:f", "a:b:f", "a b:f", ""]
)
def test_names_that_are_no_networks(name):
    with pytest.raises(ValueError, match=r"unknown network .*package\.module:function"):
        check_name(name)
    with pytest.raises(AuditError, match="unknown network"):
        networks.build(name, 3, 0)


def test_names_of_networks():
    assert tuple(networks._SHIPPED) == NETWORKS
    for name in (*NETWORKS, "a:f", "package.module:make_network"):
        check_name(name)


def test_the_source_of_a_network_is_known_without_importing_it(own, tmp_path):
    assert network_source("tiny") is None
    first = network_source(f"{own}:good")
    assert first == hashlib.sha256(OWN.encode()).hexdigest()
    assert network_source(f"{own}:good", tmp_path) == first
    (tmp_path / own.replace(".", "/")).with_suffix(".py").write_text(OWN + "\n# edited\n")
    assert network_source(f"{own}:good") != first
    assert own not in sys.modules
    assert network_source("json.decoder:JSONDecoder") is not None
    code = "import sys; from memaudit.models import identity, network_names, recipe; "
    code += "network_names.network_source('json.decoder:f'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_edited_network_is_trained_again(own, tmp_path, small_dataset):
    name = f"{own}:good"
    recipe = dataclasses.replace(RECIPE, network=name)
    shard = job.ShardJob(
        path=tmp_path / "none" / "000000-000000.h5",
        recipe_name="own",
        recipe=recipe,
        removal="none",
        masks={0: small_dataset.train_labels >= 0},
        seed=0,
    )
    origin = Origin("none", recipe.settings())

    def trained() -> bool:
        log = []
        job.train_shard(small_dataset, shard, job.TrainingOptions(device="cpu"), log.append)
        read_shards([shard.path], range(1), ["loss"], origin)
        return any("training 1 models" in line for line in log)

    assert [trained(), trained()] == [True, False]
    file = (tmp_path / own.replace(".", "/")).with_suffix(".py")
    file.write_text(OWN + "\n# edited\n")
    with pytest.raises(AuditError, match=r"network source .*, expected"):
        read_shards([shard.path], range(1), ["loss"], origin)
    assert trained()


def test_the_example_of_the_documentation_is_a_network(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    small, mobile = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_networks.py").write_text(small)
    (tmp_path / "three_lines.py").write_text(mobile)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    checked("three_lines:mobile")
    digits = yaml.safe_load((ROOT / "config" / "digits.yaml").read_text())
    digits["dataset"]["arrays"]["path"] = str(ROOT / digits["dataset"]["arrays"]["path"])
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        given = yaml.safe_load(block)
        for name in ("original", "weight_decay"):  # as Snakemake merges two files
            given["recipes"][name] = digits["recipes"][name] | given["recipes"].get(name, {})
        recipe = read_config(digits | given).recipes["original"]
        assert checked(recipe.network)(torch.zeros(1, 3, 16, 16)).shape == (1, 3)
