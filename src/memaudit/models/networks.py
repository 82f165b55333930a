"""The networks, by the names the configuration uses. Images are (batch, 3, h, w) floats in 0..1."""

import torch
from torch import nn

from memaudit.models.preactivation import PreActivationResNet50


def _conv_bn(width_in: int, width_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def tiny(classes: int) -> nn.Module:
    """Three 3x3 convolutions of stride 2 with batch norm: seconds a model on a CPU at 16x16."""
    return nn.Sequential(
        _conv_bn(3, 16, stride=2),
        _conv_bn(16, 32, stride=2),
        _conv_bn(32, 64, stride=2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4, classes),
    )


def resnet9(classes: int) -> nn.Module:
    """The nine-layer residual network of fast CIFAR-10 training: 2.3 million parameters.

    Widths and order as in FFCV's CIFAR-10 example.
    """
    return nn.Sequential(
        _conv_bn(3, 64),
        nn.Sequential(
            nn.Conv2d(64, 128, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
        ),
        _Residual(nn.Sequential(_conv_bn(128, 128), _conv_bn(128, 128))),
        _conv_bn(128, 256),
        nn.MaxPool2d(2),
        _Residual(nn.Sequential(_conv_bn(256, 256), _conv_bn(256, 256))),
        nn.Sequential(
            nn.Conv2d(256, 128, 3, bias=False), nn.BatchNorm2d(128), nn.ReLU(inplace=True)
        ),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(128, classes),
    )


def _torchvision(name: str, classes: int) -> nn.Module:
    """With a 3x3 first convolution of stride 1 and no max-pool, as small images need."""
    import torchvision  # here, because importing it takes as long as training a tiny network

    network = getattr(torchvision.models, name)(num_classes=classes)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def resnet18(classes: int) -> nn.Module:
    """torchvision's ResNet-18 with a CIFAR stem."""
    return _torchvision("resnet18", classes)


def resnet50(classes: int) -> nn.Module:
    """torchvision's ResNet-50 with a CIFAR stem."""
    return _torchvision("resnet50", classes)


def fz_resnet50(classes: int) -> nn.Module:
    """Feldman & Zhang's pre-activation ResNet-50 for CIFAR, with their initialisers."""
    return PreActivationResNet50(classes)


NETWORKS = {
    "fz_resnet50": fz_resnet50,
    "resnet50": resnet50,
    "resnet18": resnet18,
    "resnet9": resnet9,
    "tiny": tiny,
}

SMALLEST = {"resnet9": 11}  # pixels; below, an unpadded convolution has nothing to look at


def build(name: str, classes: int, seed: int) -> nn.Module:
    """The network `name` with weights drawn from `seed`, on the CPU and whatever the device.

    The global random state of torch is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name](classes)
