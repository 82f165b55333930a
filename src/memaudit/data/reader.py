"""Read many images, collect what is wrong with them and report it once."""

import threading
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from PIL import Image

from memaudit.data.images import Picture, Scale, read_image
from memaudit.errors import AuditError
from memaudit.names import printable

Report = Callable[[str], object]

SHOWN = 20  # files that are named at most
# Values that 16-bit images of a folder together span, of 65,536.
_TOO_FEW = 1 << 13  # fewer, in most images: refused, 12-bit values would be nearly black
_FEW = 1 << 15  # fewer, in all images: a warning
# An image that spans fewer than this is named even if others span more.
_NARROW = 1 << 12


class Reader:
    """Read many images; use as a context manager.

    `faults` names every image that could not be read. `notes()` states, with counts, what users
    should know about the others. Pillow's warnings are among the notes, with the name of the file.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._noted: dict[str, set[str]] = {}
        self._deep: dict[str, tuple[int, int]] = {}
        self._current = threading.local()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(warnings.catch_warnings())
        for category in (UserWarning, Image.DecompressionBombWarning):
            warnings.simplefilter("always", category)
        usual = warnings.showwarning

        def show(message: Any, category: Any, *rest: Any, **more: Any) -> None:
            if file := getattr(self._current, "file", None):
                self._note(f"Pillow warns: {printable(str(message))}", file)
            else:
                usual(message, category, *rest, **more)

        warnings.showwarning = show
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, file: Path, scale: Scale | None = None) -> Picture | None:
        """Read an image; None if that failed."""
        self._current.file = file
        try:
            picture = read_image(file, scale)
        except AuditError as error:
            self.faults.append(str(error))
            return None
        finally:
            self._current.file = None
        if picture.is_transparent:
            self._note("transparent: laid on white", file)
        if picture.has_frames:
            self._note("several frames or pages: only the first is read", file)
        if picture.span is not None:
            self._deep[printable(str(file))] = picture.span
        return picture

    def _note(self, what: str, file: Path) -> None:
        self._noted.setdefault(what, set()).add(printable(str(file)))

    def range_faults(self) -> list[str]:
        """Return the fault of 16-bit images most of which use a small part of the range."""
        narrow = {file: span for file, span in self._deep.items() if _levels(span) < _TOO_FEW}
        spanned = _levels(*narrow.values())
        if 2 * len(narrow) <= len(self._deep) or spanned >= _TOO_FEW:
            return []
        bits = max(8, (spanned - 1).bit_length())
        remedy = f"Multiply the values by {1 << (16 - bits)}"
        if wider := len(self._deep) - len(narrow):
            remedy = f"Bring all images to one range, as {wider:,} use more of it"
        what = (
            f"16 bits, but values within {spanned:,} of 65,536, as of {bits} bits: nearly black "
            f"with 8 bits. {remedy}, or save with 8 bits"
        )
        return [_counted(narrow, what)]

    def notes(self) -> list[str]:
        """Return what was done to images, one line per kind, with a count and the first files."""
        lines = [_counted(files, what) for what, files in sorted(self._noted.items())]
        spanned = _levels(*self._deep.values())
        if _TOO_FEW <= spanned < _FEW:
            lines.append(
                f"The 16-bit images use at most {spanned:,} of 65,536 values and lose contrast; "
                "rescale them if their true range is smaller than 16 bits"
            )
        elif narrow := [file for file, span in self._deep.items() if _levels(span) < _NARROW]:
            lines.append(_counted(narrow, "16 bits, but fewer than 4,096 values: nearly uniform"))
        return lines


def _levels(*spans: tuple[int, int]) -> int:
    """Return the number of values that images together span; 0 without images."""
    return max(high for _, high in spans) - min(low for low, _ in spans) + 1 if spans else 0


def _counted(files: Collection[str], what: str) -> str:
    files = sorted(files)
    count = f"{len(files):,} image{'s' if len(files) > 1 else ''}"
    return f"{count}: {what} ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})"


def raise_faults(where: Path, faults: Sequence[str]) -> None:
    """Raise AuditError with the first faults and their number, if there are any."""
    if not faults:
        return
    if len(faults) == 1:
        raise AuditError(faults[0])
    lines = [f"{printable(str(where))}: {len(faults):,} faults:", *faults[:SHOWN]]
    if len(faults) > SHOWN:
        lines.append(f"... and {len(faults) - SHOWN:,} more")
    raise AuditError("\n  ".join(lines))
