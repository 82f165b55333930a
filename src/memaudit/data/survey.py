"""Inspect images before a study: layout, sizes, modes, and everything that is wrong."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from memaudit.data.arrays import ArrayFile
from memaudit.data.image_folder import SIDES, class_files, folder_at, no_folder, visible
from memaudit.data.images import Scale
from memaudit.data.reader import Reader
from memaudit.errors import AuditError
from memaudit.names import printable

_SMALL = Scale(64, crop=False)  # decodes large JPEGs at a fraction of their size
# Names that others give to the two sides.
OTHER_NAMES = {"train": ("training",), "test": ("val", "valid", "validation", "testing", "eval")}


@dataclass
class Survey:
    """What is in a folder of images or in an .npz file.

    `counts` are images by side and class; `sizes` (width, height) and `modes` (Pillow's) count the
    images that can be read. `faults` must be fixed before a study can run: problems of the layout;
    `broken` names each unreadable image and the reason. `notes` state what is done to images of
    unusual modes.
    """

    root: Path
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def total(self, side: str) -> int:
        """Return the number of images of a side, "train" or "test"."""
        return sum(self.counts[side].values())

    @property
    def kind(self) -> str:
        """`dataset.kind` of these images."""
        return "arrays" if self.root.suffix == ".npz" else "image_folder"

    @property
    def is_gray(self) -> bool:
        """Whether all images are grey by their mode."""
        return all(mode in ("1", "L", "LA") or mode.startswith("I") for mode in self.modes)

    @property
    def classes(self) -> list[str]:
        """Names of all classes."""
        return sorted(set(self.counts["train"]) | set(self.counts["test"]))


def located(root: Path) -> Path:
    """Return the folder or .npz file that `root` names; raises AuditError if there is none."""
    root = folder_at(root)
    is_arrays = root.suffix == ".npz"
    if not (root.exists() if is_arrays else root.is_dir()):
        what = "file not found" if is_arrays else no_folder(root)
        raise AuditError(
            f"{printable(str(root))}: {what}; name the folder that holds train/<class>/* and "
            "test/<class>/*, or an .npz file"
        )
    return root


def survey(root: Path, workers: int, progress: Callable[[int, int], None]) -> Survey:
    """Inspect `root`/train/<class>/* and `root`/test/<class>/* and read every image.

    If `root` is an .npz file, only its headers and labels are read. `progress` is called with the
    number of images read and their total. Raises AuditError if `root` has no such layout at all.
    """
    root = located(root)
    if root.suffix == ".npz":
        return _survey_arrays(root)
    if missing := [side for side in SIDES if not (root / side).is_dir()]:
        raise AuditError(explain_layout(root, missing))
    found = Survey(root)
    files: list[Path] = []
    for side in SIDES:
        classes = class_files(root / side, found.faults)
        found.counts[side] = {name: len(images) for name, images in classes.items()}
        files += [file for images in classes.values() for file in images]
    found.faults += _class_faults(found.counts)
    with Reader() as reader, ThreadPoolExecutor(workers) as pool:
        # Pillow decodes without the interpreter's lock
        for done, picture in enumerate(pool.map(lambda file: reader.read(file, _SMALL), files), 1):
            if picture is not None:
                found.sizes[picture.size] += 1
                found.modes[picture.mode] += 1
            progress(done, len(files))
    found.broken += sorted(reader.faults)
    found.faults += reader.range_faults()
    found.notes += reader.notes()
    return found


def _survey_arrays(path: Path) -> Survey:
    file = ArrayFile(path)
    found = Survey(path)
    for side in SIDES:
        found.counts[side] = {str(label): file.counts[side][label] for label in file.counts[side]}
        found.sizes[file.size] += found.total(side)
        found.modes["RGB" if file.shapes[side][3:] == (3,) else "L"] += found.total(side)
    if file.n_validation:
        found.notes.append(
            f"{file.n_validation:,} validation images are left out; dataset.arrays.validation can "
            "append them to the training or test images."
        )
    return found


def _class_faults(counts: dict[str, dict[str, int]]) -> list[str]:
    faults = []
    for one, other in (SIDES, SIDES[::-1]):
        for name in sorted(set(counts[one]) - set(counts[other])):
            faults.append(
                f"class {name!r} is in {one}/ but not in {other}/; add images to {other}/ or "
                f"remove it from {one}/"
            )
    if len(counts["train"]) == 1:
        faults.append("there is only one class; at least two are needed")
    return faults


def explain_layout(root: Path, missing: list[str]) -> str:
    """Say how to arrange a folder that lacks train/ or test/."""
    layout = f"images are expected in {root}/train/<class>/* and {root}/test/<class>/*"
    folders = [entry.name for entry in visible(root, []) if entry.is_dir()]
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
