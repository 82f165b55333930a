"""Feldman & Zhang's ResNet-50 for CIFAR: pre-activation blocks and their initialisers."""

import torch
from torch import nn
from torch.nn import functional

BLOCKS = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4


def _conv(width_in: int, width_out: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(width_in, width_out, size, stride, padding=size // 2, bias=False)


def _norm_relu(norm: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    return functional.relu(norm(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, each after batch norm and ReLU; the 3x3 has the stride.

    Maps (batch, width_in, h, w) to (batch, 4 * width, h / stride, w / stride). With `project` the
    shortcut is a 1x1 convolution of the first ReLU's output, otherwise the input itself.
    """

    def __init__(self, width_in: int, width: int, stride: int, project: bool):
        super().__init__()
        self.norm0 = nn.BatchNorm2d(width_in)
        self.conv0 = _conv(width_in, width, 1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv1 = _conv(width, width, 3, stride)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, EXPANSION * width, 1)
        self.shortcut = _conv(width_in, EXPANSION * width, 1, stride) if project else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = _norm_relu(self.norm0, x)
        shortcut = x if self.shortcut is None else self.shortcut(first)
        y = self.conv0(first)
        y = self.conv1(_norm_relu(self.norm1, y))
        output: torch.Tensor = self.conv2(_norm_relu(self.norm2, y)) + shortcut
        return output


class PreActivationResNet50(nn.Module):
    """F&Z's CIFAR ResNet-50 (`CifarResNet50` in their `libarch/resnet.py`, written with Sonnet 2).

    A 3x3 stem of stride 1 without batch norm or max-pool; groups of 3, 4, 6 and 3 blocks, of which
    the first block projects and, from the second group on, halves the size; batch norm, ReLU, mean
    over the pixels, linear layer. Batch norm has eps 1e-5 and keeps 0.9 of its averages per step
    (torch's momentum 0.1). Weights are drawn by `initialise`.

    Two details of evaluation differ and do not matter after many steps: Sonnet corrects its
    averages for starting at zero, and divides the variance by n where torch divides by n - 1 (n is
    at least 16 times the batch size).
    """

    def __init__(self, classes: int):
        super().__init__()
        self.stem = _conv(3, WIDTHS[0], 3)
        blocks, width_in = [], WIDTHS[0]
        for group, (count, width) in enumerate(zip(BLOCKS, WIDTHS, strict=True)):
            for place in range(count):
                stride = 2 if group > 0 and place == 0 else 1
                blocks.append(Bottleneck(width_in, width, stride, project=place == 0))
                width_in = EXPANSION * width
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(width_in)
        self.output = nn.Linear(width_in, classes)
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = _norm_relu(self.norm, self.blocks(self.stem(x)))
        output: torch.Tensor = self.output(x.mean(dim=(2, 3)))
        return output


def initialise(network: PreActivationResNet50) -> None:
    """Draw the weights as F&Z did, from torch's global random state.

    Convolutions have Sonnet's default, a normal distribution of SD 1 / sqrt(fan in) truncated at
    two SD (which leaves an SD of 0.88 / sqrt(fan in)). The output layer is zero, so every class is
    equally likely at first. All gammas are 1, also before the last convolution of a block; all
    betas are 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            sd = module.weight[0].numel() ** -0.5
            nn.init.trunc_normal_(module.weight, std=sd, a=-2 * sd, b=2 * sd)
    nn.init.zeros_(network.output.weight)
    nn.init.zeros_(network.output.bias)
