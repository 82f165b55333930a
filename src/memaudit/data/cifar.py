"""Read CIFAR-10 and CIFAR-100 in their original order, from every published form.

A form is the binary or the Python version, as the archive or as the extracted folder; it is one
entry of `data/sources.yaml` with the checksums of its data files. A data file is interpreted only
after its checksum has matched.
"""

import gzip
import hashlib
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from memaudit import store
from memaudit.data.dataset import Dataset
from memaudit.data.fetch import Source, accepted, check_file, forms, mirror_folders
from memaudit.errors import AuditError

_SIDE = 32  # pixels
_PIXEL_BYTES = 3 * _SIDE * _SIDE
# bytes of labels before the pixels in a binary record (the last one counts); key in a Python file
_LABELS = {"cifar10": (1, b"labels"), "cifar100": (2, b"fine_labels")}
_CLASSES_10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CLASSES_100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach
couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket
rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
turtle wardrobe whale willow_tree wolf woman worm
"""
CLASSES = {"cifar10": _CLASSES_10.split(), "cifar100": _CLASSES_100.split()}


def locate(
    kind: str,
    sources: Mapping[str, Source],
    path: str | Path | None,
    folder: Path,
    mirror: str | Path | None = None,
) -> Path:
    """Return the archive or the extracted folder to read.

    The first of: `path`, where given; an archive or an extracted folder in `folder`; an archive (to
    be copied to `folder`) or an extracted folder in one of the folders of `mirror`, as in `fetch`;
    the binary archive in `folder`, to be downloaded.
    Raises AuditError when `path` is neither, or an extracted folder lacks a data file.
    """
    known = forms(kind, sources)
    if path is not None:
        place = Path(path).expanduser()
        if place.is_file():
            return place
        found = _extracted([place, *(place / form.folder for form in known)], known)
        if found is None:
            raise AuditError(
                f"{place}: no {kind} files found (dataset.{kind}.path). Name "
                f"{accepted(kind, sources)}, or the folder that contains the extracted folder"
            )
        return found
    for place in (folder, *mirror_folders(mirror)):
        for form in known:
            if (place / form.file).is_file():
                return folder / form.file
        if found := _extracted([place / form.folder for form in known], known):
            return found
    return folder / known[0].file


def data_files(path: Path, known: Sequence[Source]) -> list[Path]:
    """Return the files that `read_cifar` reads at `path`: the archive, or the extracted files."""
    if not path.is_dir():
        return [path]
    return [file for form in known for file in _files(path, form) if file.is_file()]


def _files(place: Path, form: Source) -> list[Path]:
    return [place / PurePosixPath(member).name for member in form.members]


def _extracted(places: Sequence[Path], known: Sequence[Source]) -> Path | None:
    """Return the first of `places` with all data files of one form."""
    for place in places:
        for form in known:
            missing = [file for file in _files(place, form) if not file.is_file()]
            if not missing:
                return place
            if len(missing) < len(form.members):
                raise AuditError(
                    f"{missing[0]}: file not found, although others of {form.folder}/ are there. "
                    f"Extract {form.file} ({form.urls[0]}) again"
                )
    return None


def read_cifar(
    kind: str,
    path: str | Path,
    sources: Mapping[str, Source],
    report: Callable[[str], object] = print,
) -> Dataset:
    """Read CIFAR-10 or CIFAR-100; example i is image i of the original order.

    `path` is an archive or an extracted folder, of the binary or the Python version. Images are
    uint8 (n, 32, 32, 3); labels int64, the fine ones for CIFAR-100. Nothing is written to disk.
    `report` is told about data files without a published checksum.

    Raises AuditError, naming file and remedy: missing or truncated, a checksum or size other than
    published (also: images in another order), contents of another format.
    """
    path, known = Path(path), forms(kind, sources)
    contents = _folder_contents(path, known) if path.is_dir() else _members(path, known)
    lacking = [[name for name in form.members if name not in contents] for form in known]
    if all(lacking):
        nearest = min(lacking, key=len)
        raise AuditError(f"{path}: {nearest[0]} is not in it. Name the {kind} archive or folder")
    form = known[lacking.index([])]
    if not path.is_dir() and any(value.startswith("bytes:") for value in form.members.values()):
        check_file(path, form, report)
    sides: dict[bool, list[tuple[np.ndarray, np.ndarray]]] = {False: [], True: []}
    for name, checksum in form.members.items():
        where = path / PurePosixPath(name).name if path.is_dir() else f"{path}, {name}"
        _check(where, contents[name], checksum, form)
        if path.is_dir() and checksum.startswith("bytes:"):
            report(f"{where}: no checksum is published, only the size was checked")
        parse = _binary if name.endswith(".bin") else _unpickled
        images, labels = parse(contents[name], kind, where)
        if wrong := labels[(labels < 0) | (labels >= len(CLASSES[kind]))].tolist():
            raise AuditError(f"{where}: label {wrong[0]} of {len(CLASSES[kind])} classes")
        planes = images.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
        is_test = PurePosixPath(name).name.startswith("test")
        sides[is_test].append((np.ascontiguousarray(planes), labels.astype(np.int64)))
    (train_images, train_labels), (test_images, test_labels) = (
        [np.concatenate(arrays) for arrays in zip(*sides[is_test], strict=True)]
        for is_test in (False, True)
    )
    return Dataset(CLASSES[kind], train_images, train_labels, test_images, test_labels)


def _folder_contents(path: Path, known: Sequence[Source]) -> dict[str, bytes]:
    found = {}
    for form in known:
        for member, file in zip(form.members, _files(path, form), strict=True):
            if file.is_file():
                try:
                    found[member] = file.read_bytes()
                except OSError as error:
                    raise AuditError(f"{file}: cannot be read ({error.strerror})") from None
    return found


def _members(archive: Path, known: Sequence[Source]) -> dict[str, bytes]:
    """Read the data files of the `known` forms from the stream of a .tar.gz."""
    wanted = {member for form in known for member in form.members}
    found = {}
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    name = str(PurePosixPath(member.name))
                    content = tar.extractfile(member) if member.isreg() else None
                    if name in wanted and content is not None:
                        found[name] = content.read()
            while stream.read(1 << 20):  # to the end, where gzip keeps its checksum
                pass
    except FileNotFoundError:
        raise AuditError(f"{archive}: file not found") from None
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        if unreadable := store.system_error(archive, error):
            raise unreadable from error
        links = " or ".join(form.urls[0] for form in known)
        raise AuditError(
            f"{archive}: not a complete .tar.gz archive ({error}). Expected: {links}. If it is "
            "one of these, download it again; if it is another archive of the same files, extract "
            "it and name the extracted folder"
        ) from error
    return found


def _check(where: Path | str, content: bytes, expected: str, form: Source) -> None:
    """Raise AuditError unless `content` has the published checksum, such as "sha256:..."."""
    algorithm, _, value = expected.partition(":")
    is_size = algorithm == "bytes"
    found = str(len(content)) if is_size else hashlib.new(algorithm, content).hexdigest()
    if found != value:
        raise AuditError(
            f"{where}: expected {algorithm} {value}, found {found} ({len(content):,} bytes). "
            "The file is truncated or altered, or its images are in another order, so it is not "
            f"used. Replace it with the one in {form.file} ({form.urls[0]})"
        )


def _binary(content: bytes, kind: str, where: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels uint8 (n, 3072) and labels (n,) of a binary file.

    A record is the label bytes, then the red, green and blue plane of 32 x 32 bytes, row by row
    (https://www.cs.toronto.edu/~kriz/cifar.html).
    """
    label_bytes = _LABELS[kind][0]
    record = label_bytes + _PIXEL_BYTES
    if not content or len(content) % record:
        raise AuditError(f"{where}: {len(content):,} bytes, not a multiple of {record}")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    return records[:, label_bytes:], records[:, label_bytes - 1]


class _ArraysOnly(pickle.Unpickler):
    """Unpickle arrays, lists, dicts, bytes and numbers; refuse to import anything else."""

    _ALLOWED = frozenset(
        [
            ("numpy.core.multiarray", "_reconstruct"),  # numpy before 2, as in the published files
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        ]
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a data file")
        return super().find_class(module, name)


def _unpickled(content: bytes, kind: str, where: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels uint8 (n, 3072) and labels (n,) of a file of the Python version."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[_LABELS[kind][1]])
        good = pixels.dtype == np.uint8 and pixels.shape == (len(labels), _PIXEL_BYTES)
        if not good or labels.dtype.kind not in "iu":
            raise ValueError(f"data {pixels.dtype} {pixels.shape}, labels {labels.dtype}")
    except Exception as error:  # a pickle can raise anything
        raise AuditError(f"{where}: not a data file of {kind} ({error})") from error
    return pixels, labels
