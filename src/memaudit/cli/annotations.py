"""`memaudit annotations compare`: the agreement of two annotators, and their merged decisions.

example:
  memaudit annotations compare anna.csv ben.csv --disagreements open.csv
  memaudit annotations compare anna.csv ben.csv --adjudicated clara.csv --merged decisions.csv

The files are exports of the review page. Import open.csv there and set its filter "Annotated" to
"skip" to see the disagreements; decide them and export clara.csv. An item that only one annotator
decided keeps that decision; same against near becomes near.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from memaudit.cli.outputs import new_parser, output_path, reserved
from memaudit.errors import AuditError

if TYPE_CHECKING:
    from memaudit.buckets.annotators import Agreement


def main(arguments: list[str]) -> None:
    """Run the subcommand."""
    options = _parse(arguments)
    inputs = [path for path in (options.a, options.b, options.adjudicated) if path]
    with ExitStack() as stack:
        for output in (options.disagreements, options.merged):
            if output:
                stack.enter_context(reserved(output, *inputs, force=options.force))
                inputs.append(output)
        _compare(options)


def _compare(options: argparse.Namespace) -> None:
    from memaudit.buckets import annotators

    a, b = annotators.read_words(options.a), annotators.read_words(options.b)
    given = [path for path in (options.a, options.b, options.adjudicated) if path]
    dataset = annotators.dataset_of(given)
    for found in annotators.agreement(a, b):
        print(_line(found))
    left = annotators.disagreements(a, b)
    if options.disagreements:
        annotators.write_disagreements(options.disagreements, a, b, dataset)
        print(f"{len(left):,} disagreements: {options.disagreements}")
    if options.merged:
        adjudicated = annotators.read_words(options.adjudicated) if options.adjudicated else {}
        merged, left = annotators.merge(a, b, adjudicated)
        if left:
            item, train, test = left[0]
            raise AuditError(
                f"{len(left)} disagreements are not adjudicated, the first about {item} "
                f"{' '.join(map(str, train))}, {' '.join(map(str, test))}; list them with "
                "--disagreements FILE and give their decisions with --adjudicated FILE"
            )
        if strange := annotators.foreign(a, b, adjudicated):
            print(f"note: adjudicated but annotated by neither, merged as well: {len(strange):,}")
        annotators.write_words(options.merged, merged, dataset)
        print(f"{len(merged):,} decisions: {options.merged}")


def _line(found: "Agreement") -> str:
    what = "items" if found.item == "duplicate" else "pairs of training examples"
    both = f"{found.item}: {found.both:,} {what} decided by both"
    alone = f"{found.only_a:,} only by A, {found.only_b:,} only by B"
    if not found.both:
        return f"{both}; {alone}"
    kappa = f"{found.kappa:.2f}" if found.kappa == found.kappa else "undefined: all are alike"
    return (
        f"{both}, {found.same_side / found.both:.1%} agree (kappa {kappa}), "
        f"{found.same_word / found.both:.1%} with the same decision; {alone}"
    )


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = new_parser(
        "annotations", "Compare and merge the decisions of two annotators.", __doc__
    )
    add = parser.add_argument
    add("action", choices=["compare"], help="what to do")
    add("a", type=Path, metavar="A.csv", help="decisions of the first annotator")
    add("b", type=Path, metavar="B.csv", help="decisions of the second annotator")
    add(
        "--disagreements",
        type=output_path,
        metavar="FILE",
        help="write the items on which they disagree; - for the standard output",
    )
    add("--adjudicated", type=Path, metavar="FILE", help="decisions on these items")
    add("--merged", type=output_path, metavar="FILE", help="write the merged decisions")
    add("--force", action="store_true", help="overwrite existing files")
    return parser.parse_args(arguments)
