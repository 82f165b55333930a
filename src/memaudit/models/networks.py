"""The networks. Images are (batch, 3, height, width) float32 in 0..1, outputs (batch, classes).

Besides those shipped, `network: package.module:function` calls a function of the user's own with
the number of classes. It returns a torch.nn.Module and draws its initial weights from torch's
global random state. The module lies in the study's folder or is installed.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memaudit.errors import AuditError
from memaudit.models.network_names import (
    NETWORKS,
    check_name,
    own_files,
    own_place,
    source_path,
)
from memaudit.models.preactivation import PreActivationResNet50

CIFAR_MEAN, CIFAR_SD = (0.507, 0.487, 0.441), (0.267, 0.256, 0.276)


def conv_bn(
    width_in: int, width_out: int, stride: int = 1, size: int = 3, padding: int = 1
) -> nn.Sequential:
    """Return a convolution with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, size, stride, padding, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(inplace=True),
    )


def _conv_pool(width_in: int, width_out: int) -> nn.Sequential:
    """Pool before the batch norm, which then passes over a quarter of the values."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(width_out),
        nn.ReLU(inplace=True),
    )


class _Normalize(nn.Module):
    """CIFAR-100's channel means and SDs; constants, not part of the weights."""

    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", CIFAR_MEAN), ("sd", CIFAR_SD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.sd


class _Residual(nn.Module):
    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = x + self.body(x)
        return output


def tiny(classes: int) -> nn.Module:
    """Three 3x3 convolutions of stride 2 with batch norm: a CPU trains it in seconds at 16x16."""
    return nn.Sequential(
        conv_bn(3, 16, stride=2),
        conv_bn(16, 32, stride=2),
        conv_bn(32, 64, stride=2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4, classes),
    )


def small(classes: int) -> nn.Module:
    """Five convolutions for CIFAR on a CPU, residual at 8x8 and 4x4: 0.6 million parameters.

    The stem halves the side, which lowers accuracy and saves three quarters of the time. Trained as
    in config/cifar100-cpu.yaml; docs/cifar100/cpu states its accuracy.
    """
    stem, middle, last = 40, 80, 192
    return nn.Sequential(
        _Normalize(),
        conv_bn(3, stem, stride=2, size=4),
        _conv_pool(stem, middle),
        _Residual(conv_bn(middle, middle)),
        _conv_pool(middle, last),
        _Residual(conv_bn(last, last)),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(last, classes),
    )


def resnet9(classes: int) -> nn.Module:
    """The nine-layer residual network of fast CIFAR-10 training: 2.3 million parameters.

    Widths and order as in FFCV's CIFAR-10 example.
    """
    return nn.Sequential(
        conv_bn(3, 64),
        conv_bn(64, 128, stride=2, size=5, padding=2),
        _Residual(nn.Sequential(conv_bn(128, 128), conv_bn(128, 128))),
        conv_bn(128, 256),
        nn.MaxPool2d(2),
        _Residual(nn.Sequential(conv_bn(256, 256), conv_bn(256, 256))),
        conv_bn(256, 128, padding=0),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(128, classes),
    )


def _torchvision(name: str, classes: int) -> nn.Module:
    """Build torchvision's network with a 3x3 stem of stride 1 and no max-pool (small images)."""
    import torchvision  # importing it takes as long as training a tiny network

    network: Any = getattr(torchvision.models, name)(num_classes=classes)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network  # type: ignore[no-any-return]


def resnet18(classes: int) -> nn.Module:
    """torchvision's ResNet-18 with a CIFAR stem."""
    return _torchvision("resnet18", classes)


def resnet50(classes: int) -> nn.Module:
    """torchvision's ResNet-50 with a CIFAR stem."""
    return _torchvision("resnet50", classes)


def fz_resnet50(classes: int) -> nn.Module:
    """Feldman & Zhang's pre-activation ResNet-50 for CIFAR, with their initialisers."""
    return PreActivationResNet50(classes)


_SHIPPED: dict[str, Callable[[int], nn.Module]] = {
    function.__name__: function
    for function in (fz_resnet50, resnet50, resnet18, resnet9, small, tiny)
}


def build(name: str, classes: int, seed: int) -> nn.Module:
    """Build network `name` on the CPU, with weights drawn from `seed`.

    torch's global random state is left as it was.

    Raises AuditError when a network of the user's own cannot be built.
    """
    function = _SHIPPED.get(name) or own_function(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = function(classes)
        except Exception as error:
            if name in NETWORKS:
                raise
            raise failed(
                "network", name, f"{name.partition(':')[2]}({classes}) failed", error
            ) from error
    if not isinstance(network, nn.Module):
        raise AuditError(f"network {name}: returned {type(network).__name__}, not torch.nn.Module")
    return network


def own_function(name: str, what: str = "network") -> Callable[..., Any]:
    """Import the function package.module:function from the working folder or the environment.

    `what` is what the function is for, in errors.
    """
    try:
        check_name(name)
    except ValueError as error:
        form = f"{what} {name}: must be package.module:function"
        raise AuditError(str(error) if what == "network" else form) from None
    source = source_path(name, what=what)
    own_files.add(source.resolve())
    module_name, _, function_name = name.partition(":")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)  # last, so that files of the study shadow no library
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise failed(what, name, f"importing {source} failed", error) from error
    if module.__file__ is None or not source.samefile(module.__file__):
        raise AuditError(
            f"{what} {name}: {module_name} is also the name of {module.__file__}; rename {source}"
        )
    function = getattr(module, function_name, None)
    if not callable(function):
        raise AuditError(f"{what} {name}: {source} has no function {function_name}")
    return function  # type: ignore[no-any-return]


def check(name: str, network: nn.Module, classes: int, images: torch.Tensor) -> None:
    """Pass `images`, float32 (batch, 3, height, width), through `network` and check the output.

    A network of the user's own is also built twice, to check that its weights follow torch's seed.

    Raises AuditError, naming the network and what is wrong.
    """
    size = "x".join(map(str, images.shape[2:]))
    network.eval()
    try:
        with torch.no_grad():
            output = network(images)
    except Exception as error:
        raise failed("network", name, f"cannot process images of {size} pixels", error) from error
    expected = (len(images), classes)
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if shape != expected:
        raise AuditError(f"network {name}: output is {shape} for {size} images, not {expected}")
    if name not in NETWORKS:
        one, two = (build(name, classes, seed=0).state_dict() for _ in range(2))
        if any(not torch.equal(one[key], two[key]) for key in one):
            raise AuditError(
                f"network {name}: initial weights differ for the same torch.manual_seed; draw them "
                "with torch's global random state only"
            )


def failed(kind: str, name: str, what: str, error: Exception) -> AuditError:
    """Return the error that `what` of a user's function, a network or an embedding, raised."""
    reason = str(error).strip().split("\n")[0]
    place = f", raised in {where}" if (where := own_place(error)) else ""
    return AuditError(f"{kind} {name}: {what} ({type(error).__name__}: {reason}{place})")
