"""Inspect a folder of images before a study: layout, sizes, modes, and everything that is wrong."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from memaudit.data.image_folder import SIDES, read_image, visible
from memaudit.errors import AuditError

# Names that others give to the two sides.
OTHER_NAMES = {"train": ("training",), "test": ("val", "valid", "validation", "testing", "eval")}


@dataclass
class Survey:
    """What is in a folder of images.

    `counts` are images by side and class; `sizes` (width, height) and `modes` (Pillow's) count the
    images that can be read. `faults` must be fixed before a study can run: problems of the layout;
    `broken` names each unreadable image and the reason.
    """

    root: Path
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def total(self, side: str) -> int:
        """Return the number of images of a side, "train" or "test"."""
        return sum(self.counts[side].values())

    @property
    def classes(self) -> list[str]:
        """Names of all classes."""
        return sorted(set(self.counts["train"]) | set(self.counts["test"]))


def survey(root: Path, workers: int, progress: Callable[[int, int], None]) -> Survey:
    """Inspect `root`/train/<class>/* and `root`/test/<class>/* and read every image.

    `progress` is called with the number of images read and their total. Raises AuditError if
    `root` has no such layout at all.
    """
    if not root.is_dir():
        raise AuditError(f"{root}: directory not found")
    if missing := [side for side in SIDES if not (root / side).is_dir()]:
        raise AuditError(_explain_layout(root, missing))
    found = Survey(root)
    files: list[Path] = []
    for side in SIDES:
        classes = _class_files(root / side, found.faults)
        found.counts[side] = {name: len(images) for name, images in classes.items()}
        files += [file for images in classes.values() for file in images]
    found.faults += _class_faults(found.counts)
    with ThreadPoolExecutor(workers) as pool:  # Pillow decodes without the interpreter's lock
        for done, image in enumerate(pool.map(_inspect, files), 1):
            if isinstance(image, str):
                found.broken.append(image)
            else:
                found.sizes[image[:2]] += 1
                found.modes[image[2]] += 1
            progress(done, len(files))
    return found


def _inspect(file: Path) -> tuple[int, int, str] | str:
    """Return width, height and mode of an image, or why it cannot be read."""
    try:
        height, width, _ = read_image(file, None).shape
    except AuditError as error:
        return str(error)
    with Image.open(file) as image:
        return width, height, image.mode


def _class_files(folder: Path, faults: list[str]) -> dict[str, list[Path]]:
    """Return the images of each class folder; what is out of place is added to `faults`."""
    found: dict[str, list[Path]] = {}
    try:
        for entry in visible(folder):
            if not entry.is_dir():
                faults.append(f"{entry}: not in a class folder; move or remove it")
                continue
            found[entry.name] = []
            for file in visible(entry):
                if file.is_file():
                    found[entry.name].append(file)
                else:
                    what = "a folder inside a class folder" if file.is_dir() else "a broken link"
                    faults.append(f"{file}: {what}; move or remove it")
    except AuditError as error:
        faults.append(str(error))
    return found


def _class_faults(counts: dict[str, dict[str, int]]) -> list[str]:
    faults = []
    for one, other in (SIDES, SIDES[::-1]):
        for name in sorted(set(counts[one]) - set(counts[other])):
            faults.append(f"class {name!r} is in {one}/ but not in {other}/")
        empty = [name for name, images in counts[one].items() if not images]
        faults += [f"{one}/{name}: the class has no images" for name in empty]
    if len(counts["train"]) == 1:
        faults.append("there is only one class; at least two are needed")
    if not counts["train"]:
        faults.append("train/ has no class folders")
    return faults


def _explain_layout(root: Path, missing: list[str]) -> str:
    """Say how to arrange a folder that lacks train/ or test/."""
    layout = f"images are expected in {root}/train/<class>/* and {root}/test/<class>/*"
    folders = [entry.name for entry in visible(root) if entry.is_dir()]
    for side in missing:
        if other := next((name for name in folders if name.lower() in OTHER_NAMES[side]), None):
            return f"{root}: no folder {side}/; {layout}. Rename {root}/{other} to {root}/{side}"
    if "train" in folders or "test" in folders or not folders:
        return f"{root}: no folder {missing[0]}/; {layout}"
    return (
        f"{root}: {len(folders)} folders ({', '.join(folders[:3])}, ...) but no split into a "
        f"training and a test set; {layout}. If these are the classes, move a fifth of the images "
        "of each into the test set at random. Images of one subject belong on one side. "
        "For example, with bash:\n"
        f'  cd {root} && for c in */; do mkdir -p "test/$c" train\n'
        '    find "$c" -type f | sort | shuf --random-source=<(yes) |\n'
        '      head -n $(($(ls "$c" | wc -l) / 5)) | xargs -d "\\n" mv -t "test/$c"\n'
        '    mv "$c" train/; done'
    )
