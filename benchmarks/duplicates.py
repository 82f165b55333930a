"""Measure the duplicate finder's recall by kind of edit, on generated images and on photographs.

    python benchmarks/duplicates.py [--photos FOLDER_OR_H5]

The generated images are the demo's (config/demo.yaml) for several seeds, with more copies planted.
Both the generator's edits and the edits of this file are tested. --photos (a folder with
train/<class>/* and test/<class>/*, or a dataset file) also tests them on photographs, with 10,000
training images.
Writes the tables in benchmarks/README.md.
"""

import argparse
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from scipy import ndimage

from memaudit.data.longtail import EDITS as GENERATORS_EDITS
from memaudit.data.longtail import LongTail, generate
from memaudit.duplicates import NEAR, REVIEW, find_duplicates, read_sides

SEEDS = (1, 2, 3)
EACH = 60  # copies per edit, for the photographs and for each seed of the generated images
STRANGERS = 600  # additional, unedited test images
PHOTOS = 10_000  # training images that are searched
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- written by duplicates.py -->", "<!-- end of duplicates.py -->"

Edit = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def sign(rng: np.random.Generator) -> int:
    return int(rng.choice([-1, 1]))


def shift(part: float) -> Edit:
    """Shift by `part` of the side in both directions, repeating the edge."""

    def edit(image, rng):
        by = max(1, round(part * len(image)))
        return ndimage.shift(image, (sign(rng) * by, sign(rng) * by, 0), order=0, mode="nearest")

    return edit


def crop(keep: float) -> Edit:
    """Crop a random square with `keep` of the side and enlarge it again."""

    def edit(image, rng):
        side, kept = len(image), keep * len(image)
        left, top = rng.uniform(0, side - kept, 2)
        box = (left, top, left + kept, top + kept)
        picture = Image.fromarray(image.astype(np.uint8))
        return np.array(picture.resize((side, side), Image.Resampling.BICUBIC, box=box))

    return edit


def shrink(to: float, colour: int | None) -> Edit:
    """Shrink the image into a frame of one colour, or (None) of the repeated edge."""

    def edit(image, rng):
        side, small = len(image), round(to * len(image))
        picture = Image.fromarray(image.astype(np.uint8))
        inner = np.array(picture.resize((small, small), Image.Resampling.LANCZOS))
        before = (side - small) // 2
        pad = [(before, side - small - before)] * 2 + [(0, 0)]
        if colour is None:
            return np.pad(inner, pad, mode="edge")
        return np.pad(inner, pad, constant_values=colour)

    return edit


def jpeg(quality: int) -> Edit:
    def edit(image, rng):
        buffer = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(buffer, "JPEG", quality=quality)
        return np.array(Image.open(buffer))

    return edit


def banner(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cover the lowest fifth with a black strip."""
    image = image.copy()
    image[-(len(image) // 5) :] = 0
    return image


def tint(least: float, most: float) -> Edit:
    return lambda image, rng: image * rng.uniform(least, most, 3)


def both(*edits: Edit) -> Edit:
    def edit(image, rng):
        for one in edits:
            image = np.clip(one(image, rng), 0, 255)
        return image

    return edit


def mirror(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[:, ::-1]


# (image: float (h, w, 3) in 0..255, random generator) -> image
EDITS: dict[str, Edit] = {
    "none (exact copy)": lambda image, rng: image,
    "mirrored": mirror,
    "shifted by 3% of the side in both directions": shift(0.03),
    "shifted by 9%": shift(0.09),
    "shifted by 16%": shift(0.16),
    "brightness, 25 of 255 up or down": lambda image, rng: image + 25 * sign(rng),
    "brightness, 60 up or down": lambda image, rng: image + 60 * sign(rng),
    "contrast times 0.65 or 1.35": lambda x, rng: 127.5 + (1 + 0.35 * sign(rng)) * (x - 127.5),
    "contrast times 0.3": lambda x, rng: 127.5 + 0.3 * (x - 127.5),
    "colours times 0.75 to 1.2": tint(0.75, 1.2),
    "colours times 0.5 to 1.5": tint(0.5, 1.5),
    "grey": lambda x, rng: np.repeat(x.mean(2, keepdims=True), 3, axis=2),
    "cropped to 90% of the side": crop(0.9),
    "cropped to 80%": crop(0.8),
    "cropped to 70%": crop(0.7),
    "shrunk to 85%, edge repeated": shrink(0.85, None),
    "shrunk to 85%, white frame": shrink(0.85, 255),
    "JPEG, quality 50": jpeg(50),
    "JPEG, quality 15": jpeg(15),
    "noise, sd 10": lambda image, rng: image + rng.normal(0, 10, image.shape),
    "blur, sigma 3% of the side": lambda x, rng: ndimage.gaussian_filter(
        x, (0.03 * len(x), 0.03 * len(x), 0)
    ),
    "banner over the lowest fifth": banner,
    "mirrored, cropped to 90%, colours, JPEG": both(mirror, crop(0.9), tint(0.75, 1.2), jpeg(50)),
}


def as_bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def planted(train: np.ndarray, strangers: np.ndarray, seed: int):
    """Return test images (EACH copies per edit, then strangers) and {row: (source, edit)}."""
    rng = np.random.default_rng(seed)
    test, copies = [], {}
    for name, edit in EDITS.items():
        for row in rng.choice(len(train), EACH, replace=False):
            copies[len(test)] = (int(row), name)
            test.append(as_bytes(edit(train[row].astype(float), rng)))
    return np.concatenate([np.stack(test), strangers]), copies


@dataclasses.dataclass
class Tally:
    """Count copies per edit: planted, found as duplicates, found at least as candidates."""

    planted: dict[str, int] = dataclasses.field(default_factory=dict)
    near: dict[str, int] = dataclasses.field(default_factory=dict)
    review: dict[str, int] = dataclasses.field(default_factory=dict)
    called: int = 0
    right: int = 0

    def add(self, train, test, copies: dict[int, tuple[int, str]], near: float) -> None:
        """Search and count; `copies` maps a test row to its training row and edit."""
        pairs = find_duplicates(train, test, near=near, review=REVIEW)
        kind_of = {
            pair: kind
            for *pair_, kind in zip(
                pairs.train.tolist(), pairs.test.tolist(), pairs.kind.tolist(), strict=True
            )
            for pair in [tuple(pair_)]
        }
        for row, (source, name) in copies.items():
            kind = kind_of.get((source, row))
            for counts, counted in (
                (self.planted, True),
                (self.near, kind in ("exact", "near")),
                (self.review, kind is not None),
            ):
                counts[name] = counts.get(name, 0) + counted
        called = [pair for pair, kind in kind_of.items() if kind != "candidate"]
        self.called += len(called)
        self.right += sum(copies.get(row, (None,))[0] == source for source, row in called)

    def cell(self, name: str) -> str:
        if name not in self.planted:
            return ""
        near, review = (counts[name] / self.planted[name] for counts in (self.near, self.review))
        return f"{near:.2f} ({review:.2f})"

    def precision(self) -> str:
        return f"{self.right / self.called:.3f}"


def demo_settings() -> tuple[LongTail, float]:
    """Return the demo's generator settings and threshold."""
    demo = yaml.safe_load((README.parents[1] / "config" / "demo.yaml").read_text())
    return LongTail(**demo["dataset"]["longtail"]), demo["duplicates"]["near"]


def generators_own() -> tuple[Tally, int]:
    """Test the demo's images with forty copies per edit of the generator and seed."""
    settings, near = demo_settings()
    settings = dataclasses.replace(settings, edited=4 * len(GENERATORS_EDITS))
    tally = Tally()
    for seed in SEEDS:
        data = generate(settings, seed)
        copy_of = data.planted["test_copy_of"].tolist()
        edits = data.planted["test_edit"].tolist()
        copies = {
            row: (source, edit or "none (exact copy)")
            for row, (source, edit) in enumerate(zip(copy_of, edits, strict=True))
            if source >= 0
        }
        tally.add(data.train_images, data.test_images, copies, near)
    return tally, data.n_train


def on_generated(side: int) -> Tally:
    """Test this file's edits on the generator's singletons, which resemble no other image."""
    settings, near = demo_settings()
    settings = dataclasses.replace(settings, image_size=side, singletons=100, exact=0, edited=0)
    tally = Tally()
    for seed in SEEDS:
        data = generate(settings, seed)
        alone = data.train_images[data.planted["train_role"] == "singleton"]
        others = data.train_images[data.planted["train_role"] != "singleton"]
        strangers = data.test_images[data.planted["test_role"] == "head"][:STRANGERS]
        test, copies = planted(alone, strangers, seed)
        tally.add(np.concatenate([alone, others]), test, copies, near)
    return tally


def on_photographs(path: Path) -> Tally:
    """Test this file's edits on photographs; unedited test images count as non-duplicates."""
    train, test = read_sides(path)
    rng = np.random.default_rng(SEEDS[0])
    rows = rng.permutation(len(train))[:PHOTOS]
    strangers = test.images[rng.permutation(len(test))[:STRANGERS]]
    tally = Tally()
    edited, copies = planted(train.images[rows], strangers, SEEDS[0])
    tally.add(train.images[rows], edited, copies, NEAR)
    return tally


def tables(photos: Path | None) -> str:
    near = demo_settings()[1]
    own, n_train = generators_own()
    lines = [
        "Recall: fraction of the planted pairs that are classified as exact or near (in brackets: "
        f"at least listed as candidates, score {REVIEW:g} or more).",
        "",
        f"The demo's images (16 x 16, {n_train:,} training images, threshold {near:g}) and the "
        f"generator's own edits, seeds {', '.join(map(str, SEEDS))}:",
        "",
        "| edit | copies | recall |",
        "|---|---:|---:|",
        *(f"| {name} | {count} | {own.cell(name)} |" for name, count in own.planted.items()),
        f"| *precision (pairs classified as duplicates)* | {own.called} | {own.precision()} |",
        "",
        f"The edits of `duplicates.py`, {EACH} copies per edit and seed, on generated images"
        f" (threshold {near:g}, same seeds)"
        + (
            f" and on photographs (threshold {NEAR:g}, {PHOTOS:,} training images)"
            if photos
            else ""
        )
        + ":",
        "",
    ]
    columns = {f"generated, {side} x {side}": on_generated(side) for side in (16, 32)}
    if photos:
        columns["photographs, 32 x 32"] = on_photographs(photos)
    lines.append("| edit | " + " | ".join(columns) + " |")
    lines.append("|---|" + "---:|" * len(columns))
    lines += [
        f"| {name} | " + " | ".join(tally.cell(name) for tally in columns.values()) + " |"
        for name in EDITS
    ]
    words = (f"{tally.precision()} of {tally.called:,}" for tally in columns.values())
    lines.append("| *precision* | " + " | ".join(words) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--photos", type=Path, help="folder with train/ and test/, or a .h5 dataset"
    )
    options = parser.parse_args()
    text = README.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{tables(options.photos)}\n{END}{after}")


if __name__ == "__main__":
    main()
