"""The small network whose features compare scenes."""

from itertools import pairwise

from torch import nn

from memaudit.models.networks import conv_bn

WIDTHS = ((3, 32), (32, 64, 64), (64, 128, 128), (128, 256, 256))


def scene(classes: int) -> nn.Module:
    """Seven 3x3 convolutions in four groups, at 1, 1/2, 1/4 and 1/8 of the size.

    The output of group g = 0 to 3 is that of element g.
    """
    groups = [
        nn.Sequential(
            *([nn.MaxPool2d(2)] if number else []), *(conv_bn(a, b) for a, b in pairwise(widths))
        )
        for number, widths in enumerate(WIDTHS)
    ]
    return nn.Sequential(
        *groups, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1][-1], classes)
    )
