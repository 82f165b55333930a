"""The orientation of an image by its EXIF tag."""

import struct
from typing import Any

from PIL import Image

_ORIENTATION = 0x0112  # EXIF tag
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def oriented_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return width and height of an image as it is viewed."""
    return (size[1], size[0]) if orientation >= 5 else size


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied, 1 to 8, whatever else EXIF holds."""
    if image.format == "TIFF":  # Pillow applies it
        return 1
    try:
        value: Any = image.getexif().get(_ORIENTATION)
    except Exception:  # another tag is malformed
        value = None
    if value is None:
        value = _scan_orientation(image.info.get("exif", b""))
    try:
        value = int(value[0] if isinstance(value, (tuple, bytes)) else value)
    except (TypeError, ValueError, IndexError):
        return 1
    return value if value in TRANSPOSE else 1


def _scan_orientation(exif: bytes) -> int | None:
    """Return the orientation in a block of EXIF that Pillow could not parse."""
    try:
        while exif.startswith(b"Exif\0\0"):
            exif = exif[6:]
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        (start,) = struct.unpack_from(f"{order}L", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == _ORIENTATION:
                return int(struct.unpack_from(order + {3: "H", 4: "L"}[kind], exif, entry + 8)[0])
    except (KeyError, struct.error, TypeError):
        pass
    return None
