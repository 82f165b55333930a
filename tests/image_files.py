"""Image files for the tests that read them."""

import numpy as np
from PIL import Image

from memaudit.data.images import read_image

SMOOTH = np.array(
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (4, 4), np.uint8)).resize((24, 16))
)


def smooth(count):
    """Return pixels (16, 24, 3), other ones for each `count`."""
    coarse = np.random.default_rng(count).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((24, 16), Image.Resampling.BICUBIC))


def write_folder(root, each=2, classes=("ant", "bee"), image=smooth, formats=("png",)):
    """Write `each` images per class and side, from the pixels of `image(number)`."""
    count = 0
    for side in ("train", "test"):
        for name in classes:
            (root / side / name).mkdir(parents=True)
            for number in range(each):
                suffix = formats[count % len(formats)]
                Image.fromarray(image(count)).save(root / side / name / f"{number}.{suffix}")
                count += 1
    return root


def pixels(file, scale=None):
    return read_image(file, scale).pixels


def gray(file):
    found = pixels(file)
    assert (found == found[..., :1]).all()
    return found[..., 0]
