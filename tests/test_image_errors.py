"""Damaged images: every error names the file, and warnings are counted."""

import struct
import warnings

import numpy as np
import pytest
from image_files import SMOOTH, gray, write_folder
from mutants import mutants
from PIL import Image

from memaudit.data.image_folder import SeveralSizes, read_image_folder
from memaudit.data.images import Scale, read_image
from memaudit.data.reader import Reader
from memaudit.duplicates import read_sides
from memaudit.errors import AuditError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file; replace or remove it"),
        (b"P6", "not an image, or damaged"),  # Pillow 5472
    ],
)
def test_a_file_without_an_image_is_named(tmp_path, content, message):
    (tmp_path / "a.ppm").write_bytes(content)
    with pytest.raises(AuditError, match=rf"a\.ppm: {message}"):
        read_image(tmp_path / "a.ppm")


@pytest.mark.parametrize("error", [RuntimeError, struct.error, TypeError, IndexError, MemoryError])
def test_any_exception_names_the_file(save_image, monkeypatch, error):
    file = save_image(SMOOTH)

    def fail(*_):
        raise error("of Pillow")

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(AuditError, match=r"a\.png: "):
        read_image(file)


def test_a_changed_byte_in_a_png_is_noticed(save_image):
    file = save_image(Image.fromarray(SMOOTH.astype(np.uint8)).convert("P"))
    whole = file.read_bytes()
    for place in range(8, len(whole) - 12, 3):
        content = bytearray(whole)
        content[place] ^= 16
        file.write_bytes(content)
        with pytest.raises(AuditError, match=r"a\.png: "):
            read_image(file)


@pytest.mark.filterwarnings("ignore")
def test_a_truncated_file_is_not_decoded_to_the_size_that_it_claims(save_image):
    """Pillow would decode the missing 100 million pixels in Python."""
    file = save_image(Image.new("RGBA", (8, 8)), "a.dds")
    content = bytearray(file.read_bytes())
    content[12:20] = struct.pack("<LL", 10_000, 10_000)
    file.write_bytes(content)
    with pytest.raises(AuditError, match=r"a\.dds: .*it is truncated"):
        read_image(file)


def test_a_tiff_whose_directory_names_itself_as_the_next(save_image):
    """Pillow 4804."""
    file = save_image(SMOOTH, "a.tif")
    content = bytearray(file.read_bytes())
    (start,) = struct.unpack_from("<L", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<L", content, start + 2 + 12 * count, start)
    file.write_bytes(content)
    assert (gray(file) == SMOOTH).all()


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


def test_all_broken_files_are_named_in_one_run(tmp_path):
    write_folder(tmp_path, each=3)
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
    write_folder(tmp_path)
    Image.new("RGB", (9, 8)).save(tmp_path / "train" / "ant" / "0.png")
    with pytest.raises(SeveralSizes, match=r"set dataset\.image_folder\.image_size"):
        read_image_folder(tmp_path)
    (tmp_path / "test" / "bee" / "1.png").write_bytes(b"\x89PNG")
    with pytest.raises(AuditError, match=r"bee/1\.png: not an image"):
        read_image_folder(tmp_path)


def test_warnings_of_pillow_name_the_file(tmp_path, monkeypatch):
    write_folder(tmp_path)
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


def test_too_many_pixels_are_an_error_with_the_file(save_image, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(AuditError, match=r"a\.png: Image size .*; scale it down"):
        read_image(save_image(SMOOTH))


def test_images_that_do_not_fit_in_memory_are_refused_first(tmp_path, monkeypatch):
    write_folder(tmp_path)
    monkeypatch.setattr("memaudit.data.image_folder._free_memory", lambda: 8000)
    with pytest.raises(AuditError, match=r"8 images of 24 x 16 pixels need .* GB of memory"):
        read_image_folder(tmp_path)
    assert read_image_folder(tmp_path, image_size=8).n_train == 4
