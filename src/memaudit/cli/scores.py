"""`memaudit scores`: memorization, influence and selected pairs from arrays.

arrays in the file, as numpy.savez writes them (no pickled objects):
  mask           bool (models, n_train): the model was trained on the example
  train_labels   int (n_train,): classes
  test_labels    int (n_test,): classes
and either, for scores from margins (docs/estimator.md),
  train_margin   float (models, n_train): logit of the label minus the largest other logit
  test_margin    float (models, n_test): the same for the test examples
or, for Feldman and Zhang's difference of accuracies,
  train_correct  bool (models, n_train): it predicts the label of the training example
  test_correct   bool (models, n_test): it predicts the label of the test example

writes to the output folder:
  memorization.csv     memorization, standard error, n_in and n_out of every training example
  selected_pairs.csv   memorized training examples and the test examples that they influence
  scores.h5            with --hdf5: all scores, also the influence within each class
"""

import argparse
import filecmp
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memaudit.cli.outputs import new_parser, refuse_inputs
from memaudit.errors import AuditError

if TYPE_CHECKING:
    from memaudit import Scores
    from memaudit.scores.selection import Pair
    from memaudit.tables import Rows

ARRAYS = ("mask", "train_labels", "test_labels")
OUTPUTS = {  # and, for one of the estimators
    "margins": ("train_margin", "test_margin"),
    "difference": ("train_correct", "test_correct"),
}


def main(arguments: list[str]) -> None:
    """Run the subcommand."""
    options = _parser().parse_args(arguments)
    from memaudit import Scores, store

    names = ["memorization.csv", "selected_pairs.csv", *(["scores.h5"] if options.hdf5 else [])]
    if options.output.is_file():
        raise AuditError(f"--output {options.output}: this is a file; name a folder")
    outputs = [options.output / name for name in names]
    for output in outputs:
        store.check_writable(output)
        refuse_inputs(output, options.arrays)
    estimator, arrays = _read(options.arrays, options.estimator)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimate = Scores.from_margins if estimator == "margins" else Scores.from_arrays
            scores = estimate(**arrays)
    except ValueError as error:
        raise AuditError(f"{options.arrays}: {error}") from None
    pairs = scores.select(options.memorization, options.influence, options.z)
    _write(scores, pairs, outputs, force=options.force)
    examples, tests = {pair.train for pair in pairs}, {pair.test for pair in pairs}
    print(
        f"{len(arrays['mask']):,} models, {len(scores.train_labels):,} training examples, "
        f"estimator {estimator}"
    )
    if any(block.influence.size for block in scores.influence):
        found = f"{len(pairs):,} pairs with {len(tests):,} test examples"
        print(f"{len(examples):,} selected in {found}")
    for one in caught:
        if one.category is UserWarning:
            print(f"warning: {one.message}")
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if not options.hdf5 and (options.output / "scores.h5").exists():
        print(
            "note: scores.h5 in the output folder is of an earlier run; --hdf5 --force rewrites it"
        )
    print(f"written to {options.output}/")


def _write(scores: "Scores", pairs: "Rows[Pair]", outputs: Sequence[Path], *, force: bool) -> None:
    """Write the outputs, or without `force` raise AuditError if one exists with other content.

    They are written to a folder beside and compared there: if one differs, none is replaced.
    """
    from memaudit import store, tables

    values = scores.memorization
    columns = ("example", "class", "memorization", "memorization_se", "n_in", "n_out")
    rows = zip(
        range(len(scores.train_labels)),
        scores.train_labels,
        *(values.value, values.se, values.n_in, values.n_out),
        strict=True,
    )
    folder = outputs[0].parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".scores-", dir=folder) as temporary:
        written = [Path(temporary, output.name) for output in outputs]
        tables.write(written[0], columns, rows, ".6g")
        tables.write_rows(written[1], pairs.kind, pairs)
        for path in written[2:]:
            scores.write(path)
        for path, output in zip(written, outputs, strict=True):
            if output.exists() and not force and not filecmp.cmp(path, output, shallow=False):
                raise AuditError(
                    f"{output}: file exists and holds other results; use --force to overwrite it, "
                    "or name another folder"
                )
        for path, output in zip(written, outputs, strict=True):
            with store.atomic_write(output) as place:
                shutil.copyfile(path, place)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "scores",
        "Compute memorization and influence (Feldman & Zhang 2020, equation 1) from "
        "the outputs of models trained on random subsets.",
        __doc__,
    )
    add = parser.add_argument
    add("arrays", type=Path, metavar="ARRAYS.npz", help="the arrays below")
    add("--output", "-o", type=Path, required=True, metavar="DIR", help="folder to write to")
    add(
        "--memorization",
        type=_between(-1, 1),
        default=0.25,
        help="select from this memorization (%(default)s)",
    )
    add(
        "--influence",
        type=_between(-1, 1),
        default=0.15,
        help="and this influence (%(default)s)",
    )
    add(
        "--z",
        type=_between(0, 1000),
        default=4.0,
        help="whose z, its evidence in standard errors, exceeds this (%(default)s)",
    )
    add(
        "--estimator",
        choices=list(OUTPUTS),
        help="by default margins, if the file has them",
    )
    add("--hdf5", action="store_true", help="also write scores.h5")
    add("--force", action="store_true", help="overwrite existing files with other results")
    return parser


def _between(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of numbers from `low` to `high`, for argparse."""

    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low} to {high}, not {text}")
        return value

    return number


def _read(path: Path, estimator: str | None) -> tuple[str, dict[str, Any]]:
    """Read the estimator and its arrays; raises AuditError naming what is missing or unreadable."""
    import numpy as np

    from memaudit import store

    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise AuditError(f"{path}: not an .npz file but one array; use numpy.savez")
        with loaded as file:
            if estimator is None:
                has_margins = any(name in file for name in OUTPUTS["margins"])
                estimator = "margins" if has_margins else "difference"
            names = [*ARRAYS, *OUTPUTS[estimator]]
            if missing := [name for name in names if name not in file]:
                others = [one for one in OUTPUTS if one != estimator]
                also = [one for one in others if all(name in file for name in OUTPUTS[one])]
                remedy = f", or choose --estimator {also[0]}" if also else ""
                raise AuditError(
                    f"{path}: no array {missing[0]!r}; needed: {', '.join(names)}; found: "
                    f"{', '.join(file) or 'none'}. Add it{remedy}"
                )
            known = {*ARRAYS, *OUTPUTS["margins"], *OUTPUTS["difference"]}
            if unknown := [name for name in file if name not in known]:
                print(f"warning: {path}: arrays that are not used: {', '.join(unknown)}")
            for side in ("train", "test"):
                _check_signs(path, file, side)
            return estimator, {name: file[name] for name in names}
    except FileNotFoundError:
        raise AuditError(f"{path}: file not found") from None
    except (EOFError, OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        if unreadable := store.system_error(path, error):
            raise unreadable from None
        # numpy takes every unknown format for a pickle and advises to load it
        why = "no arrays in it" if "allow_pickle" in str(error) else error
        why = "an array of objects in it" if "Object arrays" in str(error) else why
        raise AuditError(f"{path}: not an .npz file of plain arrays ({why})") from None


def _check_signs(path: Path, file: Any, side: str) -> None:
    """Raise AuditError where margins and correctness in the file contradict each other."""
    import numpy as np

    from memaudit.scores.estimate import packed

    names = f"{side}_margin", f"{side}_correct"
    if not all(name in file for name in names):
        return
    margin = file[names[0]]
    if margin.ndim != 2 or margin.dtype.kind != "f":
        return  # the estimator says what is wrong with those that it uses
    try:
        right = packed(file[names[1]], margin.shape[1], names[1])
    except ValueError:
        return
    correct = np.unpackbits(right, axis=-1, count=margin.shape[1]).astype(bool)
    if margin.shape != correct.shape:
        return
    if wrong := int((((margin > 0) & ~correct) | ((margin < 0) & correct)).sum()):
        raise AuditError(
            f"{path}: {names[0]} and {names[1]} contradict each other in {wrong:,} of "
            f"{margin.size:,} predictions: a margin must be positive where the prediction is "
            "correct and negative where it is not"
        )
