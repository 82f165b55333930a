"""`memaudit duplicates`: find test images that are duplicates of training images."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from memaudit.data.image_folder import SeveralSizes
from memaudit.duplicates import files, finder, summary
from memaudit.errors import AuditError

EXAMPLE = """\
example:
  memaudit duplicates photos --image-size 64 --output pairs.csv

This reads photos/train/<class>/* and photos/test/<class>/* and writes for every test image the five
training images most likely to show the same shot, best first: train_path,test_path,score,kind. The
kind is exact (the same pixels), near (score of --near or more) or candidate. A dataset file of this
project (data/<name>.h5) will do as well; images that came from no files are called by their index.
"""

SIZE = 64  # pixels, for images of several sizes
SECONDS = 5.0  # between two lines of progress where they go to a file


def main(arguments: list[str]) -> None:
    """Run the subcommand."""
    _run(_parse(arguments))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="memaudit duplicates",
        description="Find test images that show the same shot as a training image.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "folder", type=Path, help="folder with train/<class>/* and test/<class>/*, or a .h5 dataset"
    )
    add("--output", "-o", type=Path, default=Path("pairs.csv"), help="CSV to write (%(default)s)")
    add(
        "--image-size",
        type=int,
        metavar="N",
        help=f"scale images to N x N pixels when read, the middle cut out ({SIZE} where they have "
        "several sizes, else as they are). The search itself compares at 32 x 32",
    )
    add(
        "--near",
        type=float,
        default=finder.NEAR,
        metavar="SCORE",
        help="call pairs the same shot from this score on, 0 to 1 (%(default)s)",
    )
    add(
        "--review",
        type=float,
        metavar="SCORE",
        help=f"ask to look at pairs from this score on ({finder.REVIEW}, at most --near)",
    )
    add(
        "--only-review",
        action="store_true",
        help="write only pairs with a score of --review or more, not five for every image",
    )
    add(
        "--per-test",
        type=int,
        default=5,
        metavar="K",
        help="training images for each test image, besides exact copies (%(default)s)",
    )
    add(
        "--within-train",
        action="store_true",
        help="look for copies among the training images instead; the second column is other_path",
    )
    options = parser.parse_args(arguments)
    if options.review is None:
        options.review = min(finder.REVIEW, options.near)
    if not 0 <= options.review <= options.near <= 1:
        parser.error(
            f"--review {options.review:g} and --near {options.near:g}: "
            "0 <= review <= near <= 1 is needed"
        )
    for name in ("image_size", "per_test"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')} {value}: must be at least 1")
    return options


def _run(options: argparse.Namespace) -> None:
    _check_writable(options.output)
    print(f"reading {options.folder} ...", file=sys.stderr)
    names = ("train",) if options.within_train else ("train", "test")
    try:
        sides = files.read_sides(options.folder, options.image_size, names)
    except SeveralSizes as error:
        print(f"{error}; all images are scaled to {SIZE} x {SIZE} (--image-size)", file=sys.stderr)
        sides = files.read_sides(options.folder, SIZE, names)
    train, last = sides[0], sides[-1]
    thresholds = {"near": options.near, "review": options.review}
    settings = {
        "near": options.near,
        "review": options.review if options.only_review else 0.0,
        "progress": _progress(),
    }
    if options.within_train:
        pairs = finder.find_within(train.images, per_image=options.per_test, **settings)
        text = summary.summarize_within(pairs, train, **thresholds)
        columns = ("train_path", "other_path")
    else:
        pairs = finder.find_duplicates(
            train.images, last.images, per_test=options.per_test, **settings
        )
        text = summary.summarize(pairs, train, last, **thresholds)
        columns = ("train_path", "test_path")
    files.write_pairs(pairs, options.output, train.names, last.names, columns)
    print(text)
    print(f"{len(pairs):,} pairs, best first: {options.output}")


def _check_writable(output: Path) -> None:
    """Raise AuditError, before minutes are spent, where the output cannot be written."""
    if output.is_dir():
        raise AuditError(f"{output}: this is a folder; --output names the CSV file to write")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(
            f"{output.parent}: could not be made ({error.strerror}); name another --output"
        ) from error


def _progress() -> Callable[[int, int], None]:
    """Return a function that shows how far the search is, and the time left, on stderr."""
    started = shown = time.monotonic()
    terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if not terminal and now - shown < SECONDS and done < total:
            return
        shown = now
        left = (now - started) * (total - done) / done
        text = f"{done:,} of {total:,} images compared"
        text += f", {left:.0f} s left" if done < total else f" in {now - started:.0f} s"
        end = "\n" if done == total or not terminal else ""
        print(("\r\033[K" if terminal else "") + text, end=end, file=sys.stderr, flush=True)

    return show
