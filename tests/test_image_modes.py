"""Images of every mode and bit depth: what is converted, and what is refused."""

import struct
import zlib

import numpy as np
import pytest
from image_files import SMOOTH, gray, pixels, write_folder
from PIL import Image

from memaudit.cli import main
from memaudit.data.image_folder import read_image_folder
from memaudit.data.images import read_image
from memaudit.duplicates import read_sides
from memaudit.errors import AuditError


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bits_are_scaled_from_their_full_range(save_image, name):
    file = save_image(SMOOTH.astype(np.uint16) * 257, name)
    assert (gray(file) == SMOOTH).all()
    low, high = read_image(file).span
    assert high - low > 50_000


def test_a_pgm_is_scaled_from_its_own_range(tmp_path):
    values = (SMOOTH.astype(np.uint16) * 16).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 24 16 4095\n" + values.tobytes())
    assert np.abs(gray(tmp_path / "a.pgm").astype(int) - SMOOTH).max() <= 1


def tiff(tmp_path, values, photometric=1, sample_format=1):
    """Write an uncompressed 16-bit TIFF of which Pillow cannot write all kinds."""
    height, width = values.shape
    entries = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, height),
        (279, 4, values.nbytes),
        (339, 3, sample_format),
    ]
    data = (
        b"II*\0"
        + struct.pack("<L", 8 + values.nbytes)
        + values.astype("<i4").astype("<u2").tobytes()
    )
    directory = b"".join(struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in entries)
    (tmp_path / "a.tif").write_bytes(
        data + struct.pack("<H", len(entries)) + directory + struct.pack("<L", 0)
    )
    return tmp_path / "a.tif"


def test_signed_16_bits_are_shifted(tmp_path):
    values = (SMOOTH.astype(np.int16) - 128) * 256
    assert (gray(tiff(tmp_path, values, sample_format=2)) == SMOOTH).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_white_as_zero_is_inverted(save_image, tmp_path, bits):
    """Imagededup 35; Pillow inverts 8 bits only."""
    if bits == 8:
        file = save_image(SMOOTH, "a.tif", tiffinfo={262: 0})
    else:
        file = tiff(tmp_path, 65535 - SMOOTH.astype(np.uint16) * 257, photometric=0)
    assert (gray(file) == SMOOTH).all()


@pytest.mark.parametrize(
    ("name", "image", "options", "message"),
    [
        ("a.tif", SMOOTH.astype(np.float32), {}, "32-bit pixels have no defined range; .* 8 or 16"),
        ("a.tif", SMOOTH.astype(np.int32), {}, "32-bit pixels have no defined range; .* 8 or 16"),
        ("a.tif", SMOOTH, {"tiffinfo": {339: 2}}, "signed 8-bit pixels are not read"),
        ("a.tif", Image.new("LAB", (4, 4)), {}, "CIE Lab colours are not converted; save it as"),
        # PostScript is a program
        ("a.eps", Image.new("RGB", (4, 4)), {}, "not an image of a format that is read"),
    ],
    ids=["float32", "int32", "int8", "LAB", "EPS"],
)
def test_other_modes_and_formats_are_refused(save_image, name, image, options, message):
    with pytest.raises(AuditError, match=f"{name}: {message}"):
        read_image(save_image(image, name, **options))


def test_the_first_of_the_two_images_of_a_camera_is_read(save_image):
    """Pillow 1399: MPO."""
    first = Image.fromarray(SMOOTH).convert("RGB")
    other = Image.new("RGB", (24, 16))
    file = save_image(first, "a.mpo", save_all=True, append_images=[other], quality=95)
    assert not read_image(file).has_frames
    assert np.abs(pixels(file)[..., 0].astype(int) - SMOOTH).max() < 30


def test_transparent_pixels_are_white_in_every_mode(save_image):
    drawing = np.zeros((8, 8, 4), np.uint8)
    drawing[2:5, 2:5, 3] = 255  # a black square on a transparent ground, itself black
    rgba = Image.fromarray(drawing)
    gif = Image.new("P", (8, 8), 0)
    gif.putpalette([0, 0, 0, 0, 0, 0])
    gif.paste(1, (2, 2, 5, 5))
    mask = np.full((8, 8, 3), 7, np.uint8)
    mask[2:5, 2:5] = 0
    expected = np.full((8, 8, 3), 255, np.uint8)
    expected[2:5, 2:5] = 0
    for name, image, options in (
        ("rgba.png", rgba, {}),
        ("la.png", rgba.convert("LA"), {}),
        ("palette.png", gif, {"transparency": 0}),
        ("palette.gif", gif, {"transparency": 0}),
        ("bytes.png", gif, {"transparency": b"\0\xff"}),
        ("key.png", Image.fromarray(mask), {"transparency": (7, 7, 7)}),
        ("key_gray.png", Image.fromarray(mask[..., 0]), {"transparency": 7}),
        ("rgba.webp", rgba, {"lossless": True}),
        ("rgba.tif", rgba, {}),
    ):
        picture = read_image(save_image(image, name, **options))
        assert (picture.pixels == expected).all(), name
        assert picture.is_transparent, name
    assert not read_image(save_image(Image.new("RGBA", (8, 8), (1, 2, 3, 255)))).is_transparent


@pytest.mark.parametrize(
    "mode, name",
    [("1", "a.png"), ("L", "a.png"), ("P", "a.gif"), ("CMYK", "a.jpg"), ("RGB", "a.bmp")],
)
def test_other_modes_look_as_pillow_converts_them(save_image, mode, name):
    file = save_image(Image.fromarray(SMOOTH).convert(mode), name)
    with Image.open(file) as image:
        assert (pixels(file) == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("color", [False, True])
def test_a_small_range_in_16_bits_is_refused(tmp_path, bits, color):
    deep = SMOOTH.astype(np.uint16) << (bits - 8)
    if color:
        write_folder(tmp_path)
        for file in tmp_path.rglob("*.png"):
            file.write_bytes(png_of_16_bits(np.stack([deep] * 3, -1)))
    else:
        write_folder(tmp_path, image=lambda count: deep)
    for read in (read_image_folder, read_sides):
        with pytest.raises(
            AuditError,
            match=rf"^8 images: 16 bits, but values .* as of {bits} bits.*test/ant/0\.png",
        ):
            read(tmp_path)


def png_of_16_bits(values):
    """Return an RGB PNG of uint16 (h, w, 3), which Pillow cannot write."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">L", len(data)) + body + struct.pack(">L", zlib.crc32(body))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">LLBBBBB", width, height, 16, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_dark_images_among_16_bit_images_of_full_range_are_named(tmp_path):
    write_folder(tmp_path, image=lambda count: SMOOTH.astype(np.uint16) * 257)
    Image.fromarray(SMOOTH.astype(np.uint16)).save(tmp_path / "train" / "bee" / "1.png")
    notes = []
    read_image_folder(tmp_path, report=notes.append)
    assert len(notes) == 1 and "1 image: 16 bits, but fewer than" in notes[0]
    assert "train/bee/1.png" in notes[0]


def test_narrow_16_bit_images_that_together_span_the_range_are_read(tmp_path):
    write_folder(tmp_path, image=lambda n: SMOOTH.astype(np.uint16) * 25 + (0, 28000, 57000)[n % 3])
    notes = []
    read_image_folder(tmp_path, report=notes.append)
    assert notes == []


def test_most_images_of_a_small_range_in_16_bits_are_refused(tmp_path):
    write_folder(tmp_path, image=lambda n: SMOOTH.astype(np.uint16) * (257 if n < 3 else 1))
    with pytest.raises(AuditError, match=r"^5 images: 16 bits, but .* as 3 use more of it"):
        read_image_folder(tmp_path)
    write_folder(
        tmp_path / "half", image=lambda n: SMOOTH.astype(np.uint16) * (257 if n < 4 else 1)
    )
    notes = []
    read_image_folder(tmp_path / "half", report=notes.append)
    assert len(notes) == 1 and "4 images: 16 bits, but fewer than 4,096 values" in notes[0]


def test_14_bits_in_16_are_read_with_a_warning(tmp_path):
    write_folder(tmp_path, image=lambda count: SMOOTH.astype(np.uint16) * 64)
    notes = []
    read_image_folder(tmp_path, report=notes.append)
    assert len(notes) == 1 and "of 65,536 values and lose contrast" in notes[0]


def test_what_was_done_is_said_once_with_a_count(tmp_path, capsys):
    write_folder(tmp_path)
    clear = Image.new("RGBA", (24, 16), (0, 0, 0, 9))
    for number in range(5):
        clear.save(tmp_path / "train" / "ant" / f"clear{number}.png")
    frames = [Image.new("L", (24, 16), value) for value in (0, 200)]
    frames[0].save(tmp_path / "test" / "ant" / "moves.gif", save_all=True, append_images=frames[1:])
    main(["duplicates", str(tmp_path), "-o", str(tmp_path / "pairs.csv")])
    said = capsys.readouterr().err
    assert "note: 5 images: transparent: laid on white (" in said and ", ...)" in said
    assert "note: 1 image: several frames or pages: only the first is read" in said
