"""Pack many small images into a few files, which a browser loads from disk one by one."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from memaudit import store

_SHEET = 512  # side in pixels, unless a single image is larger
_LARGEST = 256  # pixels: an image with a longer side is scaled down; the page shows no more
_LOSSLESS = 64  # pixels: images up to this side are stored as PNG, larger ones as JPEG
_QUALITY = 92  # JPEG quality


@dataclass(frozen=True)
class Sheets:
    """Image i is at place i % (columns * rows), row by row, of file i // (columns * rows).

    `width` and `height` are those of one image in its sheet, in pixels.
    """

    files: list[str]
    columns: int
    rows: int
    width: int
    height: int


def write_sheets(images: Sequence[np.ndarray], folder: str | Path) -> Sheets:
    """Write `images`, uint8 (h, w, 3) of one size, to sheets in `folder`.

    A sheet is named by its content, so that an older page keeps its sheets until `remove_others` is
    called, and no browser shows an outdated one.
    """
    height, width = images[0].shape[:2] if len(images) else (1, 1)
    shrink = min(1.0, _LARGEST / max(height, width))
    width, height = max(1, round(width * shrink)), max(1, round(height * shrink))
    columns, rows = max(1, _SHEET // width), max(1, _SHEET // height)
    files = []
    for start in range(0, len(images), columns * rows):
        part = images[start : start + columns * rows]
        sheet = Image.new("RGB", (columns * width, -(-len(part) // columns) * height))
        for place, pixels in enumerate(part):
            image = Image.fromarray(pixels)
            if shrink < 1:
                image = image.resize((width, height), Image.Resampling.LANCZOS)
            sheet.paste(image, (place % columns * width, place // columns * height))
        files.append(_write(sheet, Path(folder), max(height, width) <= _LOSSLESS))
    return Sheets(files, columns, rows, width, height)


def _write(sheet: Image.Image, folder: Path, lossless: bool) -> str:
    digest = hashlib.sha256(sheet.tobytes()).hexdigest()[:16]
    name = f"{digest}.png" if lossless else f"{digest}.jpg"
    if not (folder / name).exists():
        with store.atomic_write(folder / name) as temporary:
            if lossless:
                sheet.save(temporary, format="PNG")
            else:
                sheet.save(temporary, format="JPEG", quality=_QUALITY, subsampling=0)
    return name


def remove_others(sheets: Sheets, folder: str | Path) -> None:
    """Remove the sheets of other pages from `folder`."""
    for path in Path(folder).glob("?" * 16 + ".*g"):
        if path.suffix in (".png", ".jpg") and path.name not in sheets.files:
            path.unlink()
