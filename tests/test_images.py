"""The reader of images: every mode and orientation, damaged files, warnings, names."""

import io
import os
import struct
import subprocess
import sys
import unicodedata
import warnings

import numpy as np
import pytest
from mutants import mutants
from PIL import Image

from memaudit.cli import main
from memaudit.data.image_folder import SeveralSizes, count_images, read_image_folder
from memaudit.data.images import Scale, read_image
from memaudit.data.reader import Reader
from memaudit.duplicates import read_sides
from memaudit.errors import AuditError
from memaudit.names import printable

SMOOTH = np.array(
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (4, 4), np.uint8)).resize((24, 16))
)


@pytest.fixture
def write(tmp_path):
    """Return a function that saves an image and returns its file."""

    def save(image, name="a.png", **options):
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def pixels(file, scale=None):
    return read_image(file, scale).pixels


def gray(file):
    found = pixels(file)
    assert (found == found[..., :1]).all()
    return found[..., 0]


# --- modes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bits_are_scaled_from_their_full_range(write, name):
    file = write(SMOOTH.astype(np.uint16) * 257, name)
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


def test_signed_8_bits_are_refused(write):
    file = write(SMOOTH.astype(np.uint8), "a.tif", tiffinfo={339: 2})
    with pytest.raises(AuditError, match=r"a\.tif: signed 8-bit pixels are not read"):
        read_image(file)


def test_16_bits_with_white_as_zero_are_inverted(tmp_path):
    """Pillow inverts 8 bits only."""
    values = 65535 - SMOOTH.astype(np.uint16) * 257
    assert (gray(tiff(tmp_path, values, photometric=0)) == SMOOTH).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bits_are_refused_in_words(write, dtype):
    file = write(SMOOTH.astype(dtype), "a.tif")
    with pytest.raises(AuditError, match=r"a\.tif: 32-bit pixels have no defined range; save"):
        read_image(file)


def test_lab_is_refused_in_words(write):
    file = write(Image.new("LAB", (4, 4)), "a.tif")
    with pytest.raises(AuditError, match=r"a\.tif: CIE Lab colours are not converted; save it as"):
        read_image(file)


def test_transparent_pixels_are_white_in_every_mode(write):
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
        picture = read_image(write(image, name, **options))
        assert (picture.pixels == expected).all(), name
        assert picture.is_transparent, name
    assert not read_image(write(Image.new("RGBA", (8, 8), (1, 2, 3, 255)))).is_transparent


@pytest.mark.parametrize(
    "mode, name",
    [("1", "a.png"), ("L", "a.png"), ("P", "a.gif"), ("CMYK", "a.jpg"), ("RGB", "a.bmp")],
)
def test_other_modes_look_as_pillow_converts_them(write, mode, name):
    file = write(Image.fromarray(SMOOTH).convert(mode), name)
    with Image.open(file) as image:
        assert (pixels(file) == np.asarray(image.convert("RGB"))).all()


def smooth(count):
    coarse = np.random.default_rng(count).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((24, 16), Image.Resampling.BICUBIC))


def folder(root, each=2, classes=("ant", "bee"), image=smooth):
    count = 0
    for side in ("train", "test"):
        for name in classes:
            (root / side / name).mkdir(parents=True)
            for number in range(each):
                Image.fromarray(image(count)).save(root / side / name / f"{number}.png")
                count += 1
    return root


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("color", [False, True])
def test_a_small_range_in_16_bits_is_refused(tmp_path, bits, color):
    deep = SMOOTH.astype(np.uint16) << (bits - 8)
    if color:
        folder(tmp_path)
        for file in tmp_path.rglob("*.png"):
            file.write_bytes(png_of_16_bits(np.stack([deep] * 3, -1)))
    else:
        folder(tmp_path, image=lambda count: deep)
    for read in (read_image_folder, read_sides):
        with pytest.raises(
            AuditError,
            match=rf"^8 images: 16 bits, but values .* as of {bits} bits.*test/ant/0\.png",
        ):
            read(tmp_path)


def png_of_16_bits(values):
    """Return an RGB PNG of uint16 (h, w, 3), which Pillow cannot write."""
    import zlib

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">L", len(data)) + body + struct.pack(">L", zlib.crc32(body))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">LLBBBBB", width, height, 16, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_dark_images_among_16_bit_images_of_full_range_are_named(tmp_path):
    folder(tmp_path, image=lambda count: SMOOTH.astype(np.uint16) * 257)
    Image.fromarray(SMOOTH.astype(np.uint16)).save(tmp_path / "train" / "bee" / "1.png")
    notes = []
    read_image_folder(tmp_path, report=notes.append)
    assert len(notes) == 1 and "1 image: 16 bits, but fewer than" in notes[0]
    assert "train/bee/1.png" in notes[0]


def test_narrow_16_bit_images_that_together_span_the_range_are_read(tmp_path):
    folder(tmp_path, image=lambda n: SMOOTH.astype(np.uint16) * 25 + (0, 28000, 57000)[n % 3])
    notes = []
    read_image_folder(tmp_path, report=notes.append)
    assert notes == []


def test_most_images_of_a_small_range_in_16_bits_are_refused(tmp_path):
    folder(tmp_path, image=lambda n: SMOOTH.astype(np.uint16) * (257 if n < 3 else 1))
    with pytest.raises(AuditError, match=r"^5 images: 16 bits, but .* as 3 use more of it"):
        read_image_folder(tmp_path)
    folder(tmp_path / "half", image=lambda n: SMOOTH.astype(np.uint16) * (257 if n < 4 else 1))
    notes = []
    read_image_folder(tmp_path / "half", report=notes.append)
    assert len(notes) == 1 and "4 images: 16 bits, but fewer than 4,096 values" in notes[0]


def test_14_bits_in_16_are_read_with_a_warning(tmp_path):
    folder(tmp_path, image=lambda count: SMOOTH.astype(np.uint16) * 64)
    notes = []
    read_image_folder(tmp_path, report=notes.append)
    assert len(notes) == 1 and "of 65,536 values and lose contrast" in notes[0]


def test_what_was_done_is_said_once_with_a_count(tmp_path, capsys):
    folder(tmp_path)
    clear = Image.new("RGBA", (24, 16), (0, 0, 0, 9))
    for number in range(5):
        clear.save(tmp_path / "train" / "ant" / f"clear{number}.png")
    frames = [Image.new("L", (24, 16), value) for value in (0, 200)]
    frames[0].save(tmp_path / "test" / "ant" / "moves.gif", save_all=True, append_images=frames[1:])
    main(["duplicates", str(tmp_path), "-o", str(tmp_path / "pairs.csv")])
    said = capsys.readouterr().err
    assert "note: 5 images: transparent: laid on white (" in said and ", ...)" in said
    assert "note: 1 image: several frames or pages: only the first is read" in said


# --- orientation --------------------------------------------------------------------------------


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
def test_orientation_is_applied_whatever_else_exif_holds(write, block):
    file = write(SMOOTH, "a.jpg", exif=block, quality=95)
    with Image.open(file) as image:
        expected = np.asarray(image.convert("RGB").rotate(-90, expand=True))
    assert (pixels(file) == expected).all()
    assert read_image(file).size == (16, 24)


@pytest.mark.parametrize("value", range(10))
def test_each_orientation(write, value):
    block = exif([(0x112, 3, 1, struct.pack("<HH", value, 0))])
    file = write(SMOOTH, exif=block)
    turn = {2: "[:, ::-1]", 3: "[::-1, ::-1]", 4: "[::-1]", 5: ".T", 6: "[::-1].T"}
    turn |= {7: "[::-1, ::-1].T", 8: ".T[::-1]"}
    assert (gray(file) == eval(f"SMOOTH{turn.get(value, '')}")).all()


@pytest.mark.parametrize("block", [b"Exif\0\0", b"", b"Exif\0\0II*\0", b"\xff" * 40])
@pytest.mark.filterwarnings("ignore")
def test_exif_without_an_orientation_is_ignored(write, block):
    file = write(SMOOTH, "a.webp", exif=block, lossless=True)
    assert np.array_equal(gray(file), SMOOTH)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_tiff_is_oriented_once(write, compression):
    """Pillow garbles the uncompressed one if it opens it by its path."""
    file = write(SMOOTH, "a.tif", tiffinfo={0x112: 6}, compression=compression)
    assert (gray(file) == SMOOTH[::-1].T).all()


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, struct.error, TypeError, IndexError, MemoryError])
def test_any_exception_names_the_file(write, monkeypatch, error):
    file = write(SMOOTH)

    def fail(*_):
        raise error("of Pillow")

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(AuditError, match=r"a\.png: "):
        read_image(file)


@pytest.mark.filterwarnings("ignore")
def test_a_truncated_file_is_not_decoded_to_the_size_that_it_claims(write):
    """Pillow would decode the missing 100 million pixels in Python."""
    file = write(Image.new("RGBA", (8, 8)), "a.dds")
    content = bytearray(file.read_bytes())
    content[12:20] = struct.pack("<LL", 10_000, 10_000)
    file.write_bytes(content)
    with pytest.raises(AuditError, match=r"a\.dds: .*it is truncated"):
        read_image(file)


@pytest.mark.parametrize("mode", ["MPO", "loop", "P6", "white"])
def test_reports_of_users(write, mode, tmp_path):
    """Pillow 1399, 4804 and 5472, and imagededup 35."""
    if mode == "MPO":  # the first of two images
        other = Image.new("RGB", (24, 16))
        file = write(Image.fromarray(SMOOTH).convert("RGB"), "a.mpo", save_all=True)
        both = write(
            Image.open(file).copy(), "b.mpo", save_all=True, append_images=[other], quality=95
        )
        assert not read_image(both).has_frames
        assert np.abs(pixels(both)[..., 0].astype(int) - SMOOTH).max() < 30
    elif mode == "loop":  # a TIFF whose directory names itself as the next
        file = write(SMOOTH, "a.tif")
        content = bytearray(file.read_bytes())
        (start,) = struct.unpack_from("<L", content, 4)
        (count,) = struct.unpack_from("<H", content, start)
        struct.pack_into("<L", content, start + 2 + 12 * count, start)
        file.write_bytes(content)
        assert (gray(file) == SMOOTH).all()
    elif mode == "P6":
        (tmp_path / "a.ppm").write_bytes(b"P6")
        with pytest.raises(AuditError, match=r"a\.ppm: not an image, or damaged"):
            read_image(tmp_path / "a.ppm")
    else:
        file = write(SMOOTH, "a.tif", tiffinfo={262: 0})
        assert (gray(file) == SMOOTH).all()


def test_hidden_folders_are_no_classes(tmp_path):
    """torchvision 2831: a notebook's checkpoints."""
    folder(tmp_path)
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    Image.fromarray(SMOOTH).save(tmp_path / "train" / ".ipynb_checkpoints" / "0.png")
    assert read_image_folder(tmp_path).class_names == ["ant", "bee"]
    assert count_images(tmp_path, "train", None) == 4


def test_postscript_is_not_run(write):
    file = write(Image.fromarray(SMOOTH).convert("RGB"), "a.eps")
    with pytest.raises(AuditError, match=r"a\.eps: not an image of a format that is read"):
        read_image(file)


def test_all_broken_files_are_named_in_one_run(tmp_path):
    folder(tmp_path, each=3)
    for number in range(23):
        (tmp_path / "train" / "ant" / f"broken{number:02d}.png").write_bytes(b"")
    (tmp_path / "train" / "notes.db").write_bytes(b"x")
    (tmp_path / "test" / "bee" / "notes.ini").write_text("[x]")
    (tmp_path / "test" / "wasp").mkdir()
    for read in (read_image_folder, read_sides):
        with pytest.raises(AuditError) as caught:
            read(tmp_path)
        lines = str(caught.value).splitlines()
        assert len(lines) == 22
        assert "train/notes.db: not in a class folder" in lines[1]
        assert "class 'wasp' has no images" in lines[2]
        assert sum("broken" in line for line in lines) >= 17
        assert lines[-1] in ("  ... and 6 more", "  ... and 7 more")


def test_broken_files_come_before_different_sizes(tmp_path):
    folder(tmp_path)
    Image.new("RGB", (9, 8)).save(tmp_path / "train" / "ant" / "0.png")
    with pytest.raises(SeveralSizes, match=r"set dataset\.image_folder\.image_size"):
        read_image_folder(tmp_path)
    (tmp_path / "test" / "bee" / "1.png").write_bytes(b"\x89PNG")
    with pytest.raises(AuditError, match=r"bee/1\.png: not an image"):
        read_image_folder(tmp_path)


def test_warnings_of_pillow_name_the_file(tmp_path, monkeypatch):
    folder(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    notes = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image_folder(tmp_path, report=notes.append)
    assert len(notes) == 1
    assert "8 images: Pillow warns: Image size (384 pixels) exceeds limit" in notes[0]
    assert "test/ant/0.png" in notes[0]


def test_a_file_with_several_warnings_is_counted_once(tmp_path):
    Image.fromarray(SMOOTH).save(tmp_path / "a.png")
    with Reader() as reader:
        for _ in range(2):
            reader._current.file = tmp_path / "a.png"
            warnings.warn("odd", UserWarning, stacklevel=1)
    assert reader.notes() == [f"1 image: Pillow warns: odd ({tmp_path}/a.png)"]


def test_too_many_pixels_are_an_error_with_the_file(write, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(AuditError, match=r"a\.png: Image size .*; scale it down"):
        read_image(write(SMOOTH))


def test_images_that_do_not_fit_in_memory_are_refused_first(tmp_path, monkeypatch):
    folder(tmp_path)
    monkeypatch.setattr("memaudit.data.image_folder._free_memory", lambda: 8000)
    with pytest.raises(AuditError, match=r"8 images of 24 x 16 pixels need .* GB of memory"):
        read_image_folder(tmp_path)
    assert read_image_folder(tmp_path, image_size=8).n_train == 4


# --- scaling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_large_images_are_reduced_in_strips_to_the_same_picture(write, monkeypatch, mode, name):
    if name == "a.jpg" and mode not in ("L", "RGB"):
        pytest.skip("not a mode of JPEG")
    large = Image.fromarray(SMOOTH).resize((600, 400), Image.Resampling.BICUBIC)
    if mode == "I;16":
        file = write(np.asarray(large).astype(np.uint16) * 257, name)
    else:
        file = write(large.convert(mode), name)
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
def test_extreme_shapes(write, size):
    file = write(Image.new("RGB", size, (9, 8, 7)))
    assert (pixels(file, Scale(32)) == (9, 8, 7)).all()
    assert max(pixels(file, Scale(32, crop=False)).shape[:2]) == min(max(size), 32)


def test_only_images_identical_before_scaling_are_exact(tmp_path):
    """Photographs that scaling makes equal are near-duplicates; so are other encodings read."""
    folder(
        tmp_path, image=lambda count: np.roll(np.kron(SMOOTH, np.ones((16, 16), np.uint8)), count)
    )
    large = np.asarray(Image.open(tmp_path / "train" / "ant" / "0.png")).copy()
    Image.fromarray(large).save(tmp_path / "test" / "ant" / "0.png", compress_level=0)
    large[0, 0] ^= 1
    Image.fromarray(large).save(tmp_path / "test" / "ant" / "1.png")
    train, test = read_sides(tmp_path)
    assert (train.images[0] == test.images[1]).all() and train.images.shape[1:] == (43, 64, 3)
    assert train.content[0] == test.content[0] != test.content[1]


# --- names --------------------------------------------------------------------------------------

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def test_unicode_forms_of_a_class_are_one_class(tmp_path, capsys):
    folder(tmp_path, classes=("bee", COMPOSED))
    (tmp_path / "test" / COMPOSED).rename(tmp_path / "test" / DECOMPOSED)
    data = read_image_folder(tmp_path)
    assert data.class_names == ["bee", COMPOSED]
    assert data.train_labels.tolist() == data.test_labels.tolist() == [0, 0, 1, 1]
    assert (tmp_path / data.test_names[3]).is_file()  # as it is on disk
    assert main(["duplicates", str(tmp_path), "-o", str(tmp_path / "pairs.csv")]) == 0
    assert "different labels" not in capsys.readouterr().out


@pytest.mark.parametrize("where", ["train", f"train/{COMPOSED}"])
def test_both_unicode_forms_side_by_side_are_refused(tmp_path, where):
    folder(tmp_path, classes=("bee", COMPOSED))
    place = tmp_path / where
    if where == "train":
        (place / DECOMPOSED).mkdir()
        Image.fromarray(SMOOTH).save(place / DECOMPOSED / "0.png")
    else:
        for name in (COMPOSED, DECOMPOSED):
            Image.fromarray(SMOOTH).save(place / f"{name}.png")
    with pytest.raises(AuditError, match=r"one name in two Unicode normal forms") as caught:
        read_image_folder(tmp_path)
    assert r"caf\xe9" in str(caught.value) and r"cafe\u0301" in str(caught.value)


def test_home_and_links_in_paths(tmp_path, monkeypatch):
    folder(tmp_path / "elsewhere")
    (tmp_path / "home" / "photos").mkdir(parents=True)
    for side in ("train", "test"):
        (tmp_path / "home" / "photos" / side).mkdir()
        for name in ("ant", "bee"):
            link = tmp_path / "home" / "photos" / side / name
            link.symlink_to(tmp_path / "elsewhere" / side / name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert read_image_folder("~/photos").train_names[0] == "train/ant/0.png"
    assert len(read_sides("~/photos")) == 2 and count_images("~/photos", "train", 1) == 2
    with pytest.raises(AuditError, match="~nobody-of-this-name/photos/train: directory not found"):
        read_image_folder("~nobody-of-this-name/photos")


def test_loops_and_pipes_are_named(tmp_path):
    folder(tmp_path)
    loop, pipe = tmp_path / "train" / "ant" / "loop", tmp_path / "train" / "ant" / "pipe"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    with pytest.raises(AuditError, match=r"loop: a broken link(?s:.*)pipe: not a file"):
        read_image_folder(tmp_path)


def test_names_that_a_terminal_cannot_show(tmp_path, monkeypatch):
    folder(tmp_path, each=4, classes=("two\nlines", "\x1b[31mred", "日本"))
    for side, number in (("train", 0), ("test", 0)):
        Image.fromarray(SMOOTH).save(tmp_path / side / "日本" / f"猫\u202e{number}.png")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    err = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    for command in ("duplicates", "init"):
        status = main([command, str(tmp_path), "-o", str(tmp_path / command)])
        assert status == 0
    out.flush()
    written = out.buffer.getvalue().decode("ascii")
    assert r"two\nlines" in written and "\\x1b[31mred" in written and r"\u65e5\u672c" in written
    assert "\x1b" not in written


def test_printable_names():
    assert printable("a\tb\u202ec\x9b") == "a\\tb\\u202ec\\x9b"
    assert printable("日本 é 👩\u200d🔬") == "日本 é 👩\u200d🔬"


# --- mutated files ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_read_or_named(tmp_path):
    """200 of the files of tests/mutants.py, which as a script tries 2,000 and the finder."""
    contents = list(mutants(200, seed=1, largest=600))
    with Reader() as reader:
        for number, content in enumerate(contents):
            file = tmp_path / f"{number}.img"
            file.write_bytes(content)
            picture = reader.read(file, Scale(64, crop=bool(number % 2)))
            if picture is None:
                assert reader.faults[-1].startswith(f"{file}: ")
                assert "\n" not in reader.faults[-1]
            else:
                assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[2] == 3
    assert 20 < len(reader.faults) < 180


def test_names_in_another_locale_are_not_called_invalid(tmp_path):
    folder(tmp_path / "images", classes=("ant", "é"), each=1)
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = (
        "import sys\nfrom pathlib import Path\nfrom memaudit.data.image_folder import class_files\n"
        "faults = []\nclass_files(Path('images/train'), faults)\nprint(ascii(faults))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert "Python reads names as ascii in this locale; set PYTHONUTF8=1" in done.stdout, done


def test_a_changed_byte_in_a_png_is_noticed(write):
    file = write(Image.fromarray(SMOOTH.astype(np.uint8)).convert("P"))
    whole = file.read_bytes()
    for place in range(8, len(whole) - 12, 3):
        content = bytearray(whole)
        content[place] ^= 16
        file.write_bytes(content)
        with pytest.raises(AuditError, match=r"a\.png: "):
            read_image(file)


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(AuditError, match=r"a\.jpg: an empty file; replace or remove it"):
        read_image(tmp_path / "a.jpg")
