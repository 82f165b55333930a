"""`memaudit duplicates`: find test images that are duplicates of training images.

example:
  memaudit duplicates photos --image-size 64 --output pairs.csv

This reads photos/train/<class>/* and photos/test/<class>/* and writes, for every test image, the
five training images most likely to show the same photograph, best first, with the columns
train_path,test_path,score,kind,probability. The kind is exact (identical pixels), near (score of
at least --near), scene (with --scene: another photograph of the same object in the same scene) or
candidate; the probability is that of a duplicate of any kind. A dataset file of a study
(data/<name>.h5) or an .npz file can be given instead of a folder; images without a file are named
by their index.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from memaudit.cli.outputs import new_parser, output_path, reserved
from memaudit.cli.progress import show_progress
from memaudit.errors import require
from memaudit.names import printable

NEAR, REVIEW = 0.55, 0.45  # memaudit.duplicates has them, too, but imports torch
SCENE = 0.5
NETWORK, CLASS = 3000, 50  # training images: to train a network; of a class that is searched
TRANSFORMS = ("rotate", "flip", "negative")
PROGRESS = {"training": "training steps of the network", "progress": "images searched for scenes"}
SIZE = 64  # pixels, for images of several sizes
SIZES = (8, 1024)  # pixels that can be chosen
COLUMNS = {True: ("train_path", "other_path"), False: ("train_path", "test_path")}  # within or not


def main(arguments: list[str]) -> None:
    """Run the subcommand."""
    options = _parse(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in finder, before torch is imported
    require("torch", extra="train")
    force = options.force or _is_replaceable(options.output, within=options.within_train)
    with reserved(options.output, options.folder, force=force):
        _run(options)


def _is_replaceable(output: Path, *, within: bool) -> bool:
    """Return whether an earlier search of this kind wrote all columns, or the file is empty."""
    from memaudit.tables import header

    columns = [*COLUMNS[within], "score", "kind", "probability"]
    return output.is_file() and (not output.stat().st_size or header(output) == columns)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = new_parser(
        "duplicates", "Find test images that are duplicates of training images.", __doc__
    )
    add = parser.add_argument
    add(
        "folder",
        type=Path,
        help="folder with train/<class>/* and test/<class>/*, or an .h5 or .npz file",
    )
    add(
        "--output",
        "-o",
        type=output_path,
        default=Path("pairs.csv"),
        help="CSV to write, - for the standard output (%(default)s); replaces that of an earlier "
        "search of the same kind, unless columns were added",
    )
    add("--force", action="store_true", help="overwrite any existing file")
    add(
        "--image-size",
        type=int,
        metavar="N",
        help=f"scale images to N x N pixels, cropped to their centre (default: {SIZE} if they have "
        f"several sizes; otherwise the longer side is reduced to {SIZE}, uncropped). The search "
        "itself compares at 32 x 32",
    )
    add(
        "--near",
        type=float,
        default=NEAR,
        metavar="SCORE",
        help="score from which a pair is a near-duplicate, 0 to 1 (%(default)s)",
    )
    add(
        "--review",
        type=float,
        metavar="SCORE",
        help=f"score from which a pair should be checked by eye ({REVIEW}, or --near if less)",
    )
    add(
        "--only-review",
        action="store_true",
        help="write only pairs with a score of at least --review, not five per test image",
    )
    add(
        "--per-test",
        type=int,
        default=5,
        metavar="K",
        help="training images per test image, besides exact duplicates (%(default)s)",
    )
    add(
        "--within-train",
        action="store_true",
        help="find duplicates among the training images instead; the second column is other_path",
    )
    add(
        "--transforms",
        type=_transforms,
        default=[],
        metavar="LIST",
        help="also search for transformed copies: a comma-separated list of rotate (by 90, 180 and "
        "270 degrees; takes 4 times as long), flip (upside down; twice as long) and negative "
        "(twice as long). Mirrored, shifted and scaled copies are always searched",
    )
    add(
        "--scene",
        type=float,
        nargs="?",
        const=SCENE,
        metavar="PROBABILITY",
        help="also search for other photographs of a scene, within each class: kind scene from "
        "this probability on (%(const)s if not given). Trains a small network first: minutes; with "
        f"fewer than {NETWORK:,} training images as --no-training. Classes with fewer than {CLASS} "
        "training images are not searched",
    )
    add(
        "--no-training",
        action="store_true",
        help="with --scene: compare by classical features instead; finds fewer",
    )
    add(
        "--embedding",
        metavar="MODULE:FUNCTION",
        help="with --scene: compare by an embedding of your own instead; the function takes "
        "images, uint8 (n, height, width, 3), and returns vectors (n, d)",
    )
    options = parser.parse_args(arguments)
    if options.scene is None and (options.no_training or options.embedding):
        parser.error("--no-training and --embedding need --scene")
    if options.scene is not None:
        if options.within_train:
            parser.error("--scene compares test with training images: omit --within-train")
        if options.no_training and options.embedding:
            parser.error("choose one of --no-training and --embedding")
        if not 0 <= options.scene <= 1:
            parser.error(f"--scene {options.scene:g}: must be from 0 to 1")
    if options.review is None:
        options.review = min(REVIEW, options.near)
    if not 0 <= options.review <= options.near <= 1:
        parser.error(
            f"--review {options.review:g} and --near {options.near:g}: "
            "must satisfy 0 <= review <= near <= 1"
        )
    if options.image_size is not None and not SIZES[0] <= options.image_size <= SIZES[1]:
        parser.error(f"--image-size {options.image_size}: must be from {SIZES[0]} to {SIZES[1]}")
    if options.per_test < 1:
        parser.error(f"--per-test {options.per_test}: must be at least 1")
    return options


def _transforms(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := sorted(set(names) - set(TRANSFORMS)):
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is not among {', '.join(TRANSFORMS)}; separate them by commas"
        )
    return names


def _run(options: argparse.Namespace) -> None:
    from memaudit.data.image_folder import SeveralSizes
    from memaudit.duplicates import features, files, finder, scene, summary

    print(f"reading {printable(str(options.folder))} ...", file=sys.stderr)
    names = ("train",) if options.within_train else ("train", "test")
    try:
        sides = files.read_sides(options.folder, options.image_size, names, _note)
    except SeveralSizes as error:
        print(f"{error}; all images are scaled to {SIZE} x {SIZE} (--image-size)", file=sys.stderr)
        sides = files.read_sides(options.folder, SIZE, names, _note)
    train, last = sides[0], sides[-1]
    thresholds = {"near": options.near, "review": options.review}
    settings = {
        "near": options.near,
        "review": options.review if options.only_review else 0.0,
        "transforms": options.transforms,
        "progress": show_progress("images compared"),
    }
    if options.within_train:
        pairs = finder.find_within(
            train.images, per_image=options.per_test, content=train.content, **settings
        )
        text = summary.summarize_within(pairs, train, **thresholds)
    else:
        scored = 0 if options.scene is None else scene.SCORED
        notes: list[str] = []
        if scored:
            settings["review"] = 0.0
            data = files.as_dataset(train, last)
            if text := scene.unsearched(data):
                _note(text)
            if options.embedding:
                features.check_embedding(options.embedding, train.images)
        pairs = finder.find_duplicates(
            train.images,
            last.images,
            per_test=max(options.per_test, scored),
            content=(train.content, last.content),
            **settings,
        )
        if scored:
            print("searching for other photographs of a scene ...", file=sys.stderr)
            searched, trained = _shown()
            pairs = scene.find_scenes(
                data,
                pairs,
                "classical" if options.no_training else options.embedding or "network",
                scene=options.scene,
                per_test=options.per_test,
                progress=searched,
                training=trained,
                note=notes.append,
            )
            if options.only_review:
                pairs = pairs.of((pairs.score >= options.review) | (pairs.kind != "candidate"))
        text = summary.summarize(pairs, train, last, **thresholds, notes=notes)
    columns = COLUMNS[options.within_train]
    files.write_pairs(pairs, options.output, train.names, last.names, columns)
    print(text)
    print(f"{len(pairs):,} pair{'' if len(pairs) == 1 else 's'}, best first: {options.output}")
    if (pairs.kind == "near").any():
        scores = finder.random_scores(train.images, last.images, pairs)
        if warning := summary.random_warning(scores, options.near):
            print(warning)


def _shown() -> tuple[Callable[[int, int], None], Callable[[int, int], None]]:
    """Return what shows the progress of the search, and of the training before it."""
    shown = {name: show_progress(what) for name, what in PROGRESS.items()}

    def training(done: int, total: int) -> None:
        shown["training"](done, total)
        if done == total:
            shown["progress"] = show_progress(PROGRESS["progress"])

    return lambda done, total: shown["progress"](done, total), training


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
