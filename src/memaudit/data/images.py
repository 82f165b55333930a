"""Read an image of any mode as 8-bit RGB; docs/images.md lists what is done with each."""

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from memaudit.data.orientation import TRANSPOSE, orientation_of, oriented_size
from memaudit.errors import AuditError
from memaudit.names import printable

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF tag
_SAMPLE_FORMAT, _SIGNED = 339, 2  # TIFF tag
_RUNS_A_PROGRAM = "EPS"  # format that Pillow renders with Ghostscript
# Formats that Pillow decodes in Python, slowly and past the end of the data: most pixels per byte.
_PIXELS_PER_BYTE = {"DDS": 4, "QOI": 64}
_MARGIN = 2  # images are read at no less than this times the side they are scaled to
_STRIP = 1 << 22  # pixels that are converted at a time, at least one row


class Unsuitable(AuditError):  # noqa: N818, an image without a defined appearance
    """An image is sound, but its pixels have no defined appearance."""


@dataclass(frozen=True)
class Scale:
    """How images are scaled as they are read.

    With `crop` to a square of `side` pixels around the centre; otherwise the longer side is reduced
    to `side` pixels, and smaller images are left as they are.
    """

    side: int
    crop: bool = True

    def target(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height to scale to, before a crop."""
        longest, shortest = max(width, height), min(width, height)
        factor = self.side / (shortest if self.crop else max(longest, self.side))
        return max(1, round(width * factor)), max(1, round(height * factor))


@dataclass(frozen=True)
class Picture:
    """An image as it was read.

    `pixels` is uint8 (h, w, 3); `size` is width and height before scaling, as it is viewed; `mode`
    is Pillow's. `span` is the lowest and highest value of a 16-bit image, None for other images.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    mode: str
    is_transparent: bool
    has_frames: bool
    span: tuple[int, int] | None


def read_image(file: Path, scale: Scale | None = None) -> Picture:
    """Read one image, oriented by its EXIF tag and laid on white.

    Raises AuditError naming the file if it cannot be read, Unsuitable for 32-bit and Lab pixels.
    """
    shown = printable(str(file))
    try:
        with open(file, "rb") as stream:
            _check_png(stream)
        with _opened(file) as image:
            return _read(image, scale)
    except Unsuitable as error:
        raise Unsuitable(f"{shown}: {error}") from None
    except MemoryError:
        raise AuditError(f"{shown}: not enough memory to read it; scale it down") from None
    except Image.DecompressionBombError as error:
        raise AuditError(f"{shown}: {error}; scale it down") from error
    except UnidentifiedImageError as error:
        what = "not an image of a format that is read" if file.stat().st_size else "an empty file"
        raise AuditError(f"{shown}: {what}; replace or remove it") from error
    except Exception as error:  # damaged files raise anything
        if isinstance(error, OSError) and error.errno:
            raise AuditError(f"{shown}: cannot be read ({error.strerror})") from error
        reason = printable(str(error)) or type(error).__name__
        raise AuditError(
            f"{shown}: not an image, or damaged ({reason}); replace or remove it"
        ) from error


def viewed_size(file: Path) -> tuple[int, int] | None:
    """Return width and height of an image from its header, None if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _opened(file) as image:
                return oriented_size(image.size, orientation_of(image))
    except Exception:  # `read_image` will say what is wrong
        return None


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    # Given a path, Pillow maps uncompressed files, and garbles TIFFs that lie on their side.
    with open(file, "rb") as stream, Image.open(stream, formats=_formats()) as image:
        most = _PIXELS_PER_BYTE.get(image.format or "", np.inf) * os.fstat(stream.fileno()).st_size
        if image.width * image.height > most:
            raise ValueError("it is truncated")
        yield image


def _check_png(stream: BinaryIO) -> None:
    """Raise ValueError if the checksum of a PNG's pixels is wrong, which Pillow does not verify."""
    if stream.read(8) != b"\x89PNG\r\n\x1a\n":
        return
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">L4s", head)
        if kind != b"IDAT":
            stream.seek(length + 4, os.SEEK_CUR)
            continue
        content, checksum = stream.read(length), stream.read(4)
        if len(checksum) < 4 or zlib.crc32(kind + content) != int.from_bytes(checksum):
            raise ValueError("wrong checksum of its pixels")


@cache
def _formats() -> tuple[str, ...]:
    Image.preinit()  # the common formats are tried first
    Image.init()
    return tuple(name for name in Image.ID if name != _RUNS_A_PROGRAM)


@dataclass
class _Depth:
    """Bits per channel of the file, and the least and highest value found (of 16 bits)."""

    bits: int = 8
    is_signed: bool = False
    is_inverted: bool = False
    low: int = 1 << 16
    high: int = -1

    def saw(self, low: int, high: int) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)

    def span(self, mode: str) -> tuple[int, int] | None:
        """Return the lowest and highest value; None for 8 bits and one uniform value."""
        if self.bits != 16 or (self.low == self.high and self.high > 0):
            return None
        if mode.startswith("I"):
            return None if self.low == self.high else (self.low, self.high)
        # Pillow keeps the high byte of 16-bit colour: all black may have been 8 bits in 16
        return self.low, self.high + 255


def _read(image: Image.Image, scale: Scale | None) -> Picture:
    mode, depth = image.mode, _depth(image)
    orientation, has_frames = orientation_of(image), _has_frames(image)
    size = oriented_size(image.size, orientation)
    if scale is not None and image.format in ("JPEG", "MPO"):
        width, height = scale.target(*image.size)
        image.draft(None, (_MARGIN * width, _MARGIN * height))
    image.load()
    is_transparent = image.has_transparency_data
    factor = 1
    if scale is not None:
        shortest = min(
            have // (_MARGIN * want)
            for have, want in zip(image.size, scale.target(*image.size), strict=True)
        )
        factor = max(1, shortest)
    rgb = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    opaque = True
    for top, strip in _strips(image, factor):
        part, is_opaque = _to_rgb(strip, depth, is_transparent)
        opaque &= is_opaque
        rgb.paste(part.reduce(factor) if factor > 1 else part, (0, top // factor))
    if orientation in TRANSPOSE:
        rgb = rgb.transpose(TRANSPOSE[orientation])
    if scale is not None and scale.crop:
        rgb = ImageOps.fit(rgb, (scale.side, scale.side), Image.Resampling.LANCZOS)
    elif scale is not None:
        rgb = rgb.resize(scale.target(*size), Image.Resampling.LANCZOS)
    return Picture(np.asarray(rgb), size, mode, not opaque, has_frames, depth.span(mode))


def _strips(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield the image in strips of whole multiples of `factor` rows, with the first row of each."""
    rows = max(1, _STRIP // image.width // factor) * factor
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _depth(image: Image.Image) -> _Depth:
    """Return the bits per channel. Raises Unsuitable for pixels without a defined range."""
    tiles = getattr(image, "tile", None)
    arguments: Any = tiles[0].args if tiles else ()
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    raw = [value for value in arguments if isinstance(value, str)]
    tags = getattr(image, "tag_v2", {})
    if image.mode == "LAB":
        raise Unsuitable("CIE Lab colours are not converted; save it as RGB")
    samples: Any = tags.get(_SAMPLE_FORMAT, ())
    if not image.mode.startswith("I") and _SIGNED in np.atleast_1d(samples):
        raise Unsuitable("signed 8-bit pixels are not read; save it with unsigned pixels")
    if image.mode.startswith("I;16"):
        inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        return _Depth(12 if "I;12" in raw else 16, is_inverted=inverted)
    if image.mode == "I" and image.format == "PPM":  # Pillow scales the file's range to 16 bits
        return _Depth(16)
    if image.mode == "I" and any(name in ("I;16S", "I;16BS") for name in raw):
        return _Depth(16, is_signed=True)
    if image.mode in ("I", "F"):
        raise Unsuitable("32-bit pixels have no defined range; save it with 8 or 16 bits")
    is_deep = any(";16" in name for name in raw)
    if image.format == "PPM":  # (mode, maximum value)
        is_deep = any(isinstance(value, int) and value > 255 for value in arguments)
    return _Depth(16 if is_deep else 8)


def _to_rgb(image: Image.Image, depth: _Depth, is_transparent: bool) -> tuple[Image.Image, bool]:
    """Return a part of an image as RGB on white, and whether it was opaque."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int32) + (depth.is_signed << 15)
        if depth.is_inverted:
            values = (1 << depth.bits) - 1 - values
        depth.saw(int(values.min()), int(values.max()))
        gray = (values >> (depth.bits - 8)).clip(0, 255).astype(np.uint8)
        return Image.fromarray(gray).convert("RGB"), True
    if depth.bits == 16:
        bands: Any = image.getextrema()
        bands = bands[:3] if isinstance(bands[0], tuple) else (bands,)
        depth.saw(256 * min(band[0] for band in bands), 256 * max(band[1] for band in bands))
    if not is_transparent:
        return image.convert("RGB"), True
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema()[0] == 255:
        return layer.convert("RGB"), True
    white = Image.new("RGBA", layer.size, "white")
    white.alpha_composite(layer)
    return white.convert("RGB"), False


def _has_frames(image: Image.Image) -> bool:
    """Return whether an animation or a file of several pages has more than one image."""
    try:
        return bool(getattr(image, "is_animated", False)) and image.format != "MPO"
    except Exception:  # the pages after the first are damaged
        return True
