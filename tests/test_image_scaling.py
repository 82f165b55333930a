"""Images are scaled to one size; exact duplicates are told from others before it."""

import numpy as np
import pytest
from image_files import SMOOTH, pixels, write_folder
from PIL import Image

from memaudit.data.images import Scale
from memaudit.duplicates import read_sides


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *(("a.png", mode) for mode in ("L", "RGB", "RGBA", "P", "I;16")),
        *(("a.jpg", mode) for mode in ("L", "RGB")),
    ],
)
def test_large_images_are_reduced_in_strips_to_the_same_picture(
    save_image, monkeypatch, name, mode
):
    large = Image.fromarray(SMOOTH).resize((600, 400), Image.Resampling.BICUBIC)
    if mode == "I;16":
        file = save_image(np.asarray(large).astype(np.uint16) * 257, name)
    else:
        file = save_image(large.convert(mode), name)
    whole = pixels(file).astype(int)
    for scale, shape in ((Scale(40), (40, 40)), (Scale(60, crop=False), (40, 60))):
        scaled = pixels(file, scale)
        assert scaled.shape == (*shape, 3)
        monkeypatch.setattr("memaudit.data.images._STRIP", 5000)
        assert (pixels(file, scale) == scaled).all()
        monkeypatch.undo()
    reference = Image.fromarray(whole.astype(np.uint8)).resize((60, 40), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(reference).astype(int) - scaled).max() <= 6


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 2)])
def test_extreme_shapes(save_image, size):
    file = save_image(Image.new("RGB", size, (9, 8, 7)))
    assert (pixels(file, Scale(32)) == (9, 8, 7)).all()
    assert max(pixels(file, Scale(32, crop=False)).shape[:2]) == min(max(size), 32)


def test_only_images_identical_before_scaling_are_exact(tmp_path):
    """Photographs that scaling makes equal are near-duplicates; so are other encodings read."""
    write_folder(
        tmp_path, image=lambda count: np.roll(np.kron(SMOOTH, np.ones((16, 16), np.uint8)), count)
    )
    large = np.asarray(Image.open(tmp_path / "train" / "ant" / "0.png")).copy()
    Image.fromarray(large).save(tmp_path / "test" / "ant" / "0.png", compress_level=0)
    large[0, 0] ^= 1
    Image.fromarray(large).save(tmp_path / "test" / "ant" / "1.png")
    train, test = read_sides(tmp_path)
    assert (train.images[0] == test.images[1]).all() and train.images.shape[1:] == (43, 64, 3)
    assert train.content[0] == test.content[0] != test.content[1]
