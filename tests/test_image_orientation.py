"""The orientation in EXIF is applied, whatever else EXIF holds."""

import struct

import numpy as np
import pytest
from image_files import SMOOTH, gray, pixels
from PIL import Image

from memaudit.data.images import read_image


def exif(entries, extra=b"", order="<"):
    """Return an EXIF block of one directory; entries are (tag, type, count, four bytes)."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = mark + struct.pack(f"{order}LH", 8, len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(f"{order}HHL", tag, kind, count) + value
    return b"Exif\0\0" + body + struct.pack(f"{order}L", 0) + extra


TURNED = (0x112, 3, 1, b"\6\0\0\0")
BROKEN_EXIF = {
    "resolution as text": exif([TURNED, (0x11A, 2, 4, b"72 \0")]),
    "resolution as bytes": exif([TURNED, (0x11A, 7, 4, b"\0\0\0H")]),
    "resolution 0/0": exif([TURNED, (0x11A, 5, 1, struct.pack("<L", 38))], bytes(8)),
    "width as text": exif([(0x100, 2, 4, b"640\0"), TURNED]),
    "header twice": b"Exif\0\0" + exif([TURNED]),
    "value outside the block": exif([TURNED, (0x10F, 2, 200, struct.pack("<L", 4000))]),
    "orientation as text": exif([(0x112, 2, 2, b"6\0\0\0")]),
    "orientation as long": exif([(0x112, 4, 1, b"\6\0\0\0")]),
    "cut after the orientation": exif([TURNED, TURNED])[:-10],
    "unknown type": exif([(0x110, 99, 1, b"abcd"), TURNED]),
    "most significant byte first": exif([(0x112, 3, 1, b"\0\6\0\0")], order=">"),
}


@pytest.mark.parametrize("block", BROKEN_EXIF.values(), ids=BROKEN_EXIF)
@pytest.mark.filterwarnings("ignore")
def test_orientation_is_applied_whatever_else_exif_holds(save_image, block):
    file = save_image(SMOOTH, "a.jpg", exif=block, quality=95)
    with Image.open(file) as image:
        expected = np.asarray(image.convert("RGB").rotate(-90, expand=True))
    assert (pixels(file) == expected).all()
    assert read_image(file).size == (16, 24)


@pytest.mark.parametrize("value", range(10))
def test_each_orientation(save_image, value):
    block = exif([(0x112, 3, 1, struct.pack("<HH", value, 0))])
    file = save_image(SMOOTH, exif=block)
    turn = {2: "[:, ::-1]", 3: "[::-1, ::-1]", 4: "[::-1]", 5: ".T", 6: "[::-1].T"}
    turn |= {7: "[::-1, ::-1].T", 8: ".T[::-1]"}
    assert (gray(file) == eval(f"SMOOTH{turn.get(value, '')}")).all()


@pytest.mark.parametrize("block", [b"Exif\0\0", b"", b"Exif\0\0II*\0", b"\xff" * 40])
@pytest.mark.filterwarnings("ignore")
def test_exif_without_an_orientation_is_ignored(save_image, block):
    file = save_image(SMOOTH, "a.webp", exif=block, lossless=True)
    assert np.array_equal(gray(file), SMOOTH)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_tiff_is_oriented_once(save_image, compression):
    """Pillow garbles the uncompressed one if it opens it by its path."""
    file = save_image(SMOOTH, "a.tif", tiffinfo={0x112: 6}, compression=compression)
    assert (gray(file) == SMOOTH[::-1].T).all()
