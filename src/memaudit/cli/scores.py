"""`memaudit scores`: memorization, influence and selected pairs from arrays."""

import argparse
import zipfile
from pathlib import Path
from typing import Any

from memaudit.errors import AuditError

ARRAYS = {
    "mask": "bool (models, n_train): the model was trained on the example",
    "train_correct": "bool (models, n_train): it predicts the label of the training example",
    "test_correct": "bool (models, n_test): it predicts the label of the test example",
    "train_labels": "int (n_train,): classes",
    "test_labels": "int (n_test,): classes",
}
EPILOG = f"""\
arrays in the file, as numpy.savez writes them (no pickled objects):
{chr(10).join(f"  {name:<14} {what}" for name, what in ARRAYS.items())}

writes to the output folder:
  memorization.csv     memorization, standard error, n_in and n_out of every training example
  selected_pairs.csv   memorized training examples and the test examples that they influence
  scores.h5            with --hdf5: all scores, also the influence within each class
"""


def main(arguments: list[str]) -> None:
    """Run the subcommand."""
    options = _parser().parse_args(arguments)
    from memaudit import Scores, store, tables

    names = ["memorization.csv", "selected_pairs.csv", *(["scores.h5"] if options.hdf5 else [])]
    outputs = [options.output / name for name in names]
    for output in outputs:
        store.check_writable(output)
    arrays = _read(options.arrays)
    try:
        scores = Scores.from_arrays(**arrays)
    except ValueError as error:
        raise AuditError(f"{options.arrays}: {error}") from None
    pairs = scores.select(options.memorization, options.influence, options.z)
    values = scores.memorization
    columns = ("example", "class", "memorization", "memorization_se", "n_in", "n_out")
    rows = zip(
        range(len(scores.train_labels)),
        scores.train_labels,
        *(values.value, values.se, values.n_in, values.n_out),
        strict=True,
    )
    tables.write(outputs[0], columns, rows, ".6g")
    tables.write_rows(outputs[1], pairs.kind, pairs)
    if options.hdf5:
        scores.write(outputs[2])
    examples, tests = {pair.train for pair in pairs}, {pair.test for pair in pairs}
    print(f"{len(arrays['mask']):,} models, {len(scores.train_labels):,} training examples")
    print(f"{len(examples):,} selected in {len(pairs):,} pairs with {len(tests):,} test examples")
    if unknown := sum(value != value for value in values.value):
        print(
            f"warning: {unknown:,} examples have no score: all models were trained with them, or "
            "all without"
        )
    print(f"written to {options.output}/")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memaudit scores",
        description="Compute memorization and influence (Feldman & Zhang 2020, equation 1) from "
        "the outputs of models trained on random subsets.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("arrays", type=Path, metavar="ARRAYS.npz", help="the arrays below")
    add("--output", "-o", type=Path, required=True, metavar="DIR", help="folder to write to")
    add(
        "--memorization",
        type=float,
        default=0.25,
        help="select from this memorization (%(default)s)",
    )
    add("--influence", type=float, default=0.15, help="and this influence (%(default)s)")
    add(
        "--z",
        type=float,
        default=4.0,
        help="which exceeds this many standard errors (%(default)s)",
    )
    add("--hdf5", action="store_true", help="also write scores.h5")
    return parser


def _read(path: Path) -> dict[str, Any]:
    """Read the arrays; raises AuditError naming what is missing or cannot be read."""
    import numpy as np

    from memaudit import store

    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := [name for name in ARRAYS if name not in file]:
                raise AuditError(
                    f"{path}: no array {missing[0]!r}; needed: {', '.join(ARRAYS)}; found: "
                    f"{', '.join(file) or 'none'}"
                )
            return {name: file[name] for name in ARRAYS}
    except FileNotFoundError:
        raise AuditError(f"{path}: file not found") from None
    except (EOFError, OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        if unreadable := store.system_error(path, error):
            raise unreadable from None
        raise AuditError(f"{path}: not an .npz file of plain arrays ({error})") from None
