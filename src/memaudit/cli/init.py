"""`memaudit init`: inspect images and write a study.yaml for them.

examples:
  memaudit init photos                   reads photos/train/<class>/* and photos/test/<class>/*
  memaudit init pathmnist.npz            reads train_images, train_labels, test_images, ...
  memaudit run --configfile study.yaml

The study gets the largest network, and then the most models, that fit into --hours on this machine.
"""

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from memaudit.cli.outputs import new_parser, output_path, reserved
from memaudit.cli.progress import show_progress
from memaudit.cores import usable_cores
from memaudit.errors import AuditError, require
from memaudit.names import printable

if TYPE_CHECKING:
    from memaudit.data.survey import Survey

SHOWN = 20  # classes, broken files and faults that are listed
FEW_TEST, FEW_TRAIN = 500, 20  # test images in all; training images per class


def main(arguments: list[str]) -> None:
    """Run the subcommand."""
    options = _parser().parse_args(arguments)
    if not 0 < options.hours < math.inf:
        raise AuditError(f"--hours {options.hours:g}: must be a number greater than 0")
    if options.name and not re.fullmatch(r"[A-Za-z0-9._-]{1,80}", options.name):
        raise AuditError(
            f"--name {options.name!r}: must be at most 80 letters, digits and ._- only"
        )
    if options.name in ("cifar10", "cifar100"):
        raise AuditError(f"--name {options.name}: reserved for that dataset; choose another")
    require("jinja2", extra="workflow")
    from memaudit.data.survey import located

    located(options.folder)  # a wrong name of the images is stated first
    with reserved(options.output, options.folder, force=options.force):
        _run(options)


def _run(options: argparse.Namespace) -> None:
    output: Path = options.output
    yaml = require("yaml", extra="workflow")
    from memaudit.data.survey import survey
    from memaudit.store import is_stdout, write_text
    from memaudit.study import plan
    from memaudit.study.proposal import propose
    from memaudit.study.study import Study
    from memaudit.templates import render

    found = survey(options.folder, usable_cores(), show_progress("images read"))
    machine = plan.this_machine("auto")
    faults = len(found.faults) + len(found.broken)
    notes = found.notes
    if not faults:
        limits = render("limits.txt", found=found, few_test=FEW_TEST, few_train=FEW_TRAIN)
        notes = notes + limits.splitlines()
    print(render("init.txt", found=found, sizes=_sizes(found), notes=notes, shown=SHOWN))
    if faults:
        folder, count = printable(str(options.folder)), f"{faults} fault{'s' if faults > 1 else ''}"
        raise AuditError(f"{folder}: {count}, listed above; {output} was not written")
    proposal = propose(found, machine, options.hours, options.name)
    shown = "study.yaml" if is_stdout(output) else printable(str(output))
    text = render("study.yaml", p=proposal, path=printable(str(proposal.path)), output=shown)
    study = Study(yaml.safe_load(text))
    write_text(output, text)
    print(plan.render_cost(study, machine))
    parts = plan.estimate(study, machine, study.models)
    if sum(part.hours for part in parts) / machine.workers > options.hours:
        print(f"warning: by this estimate the study takes longer than --hours {options.hours:g}")
    print(f"Written: {shown}. To run the study:\n\n  memaudit run --configfile {shown}")


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "init", "Inspect images and write a configuration for a study of them.", __doc__
    )
    add = parser.add_argument
    add(
        "folder",
        metavar="IMAGES",
        type=Path,
        help="folder with train/<class>/* and test/<class>/*, or an .npz file",
    )
    add(
        "--output",
        "-o",
        type=output_path,
        default=Path("study.yaml"),
        help="- for the standard output (%(default)s)",
    )
    add("--name", help="name of the study and its results folder (that of the images)")
    add("--hours", type=float, default=8, help="time that the study may take (%(default)s)")
    add("--force", action="store_true", help="overwrite an existing file")
    return parser


def _sizes(found: "Survey") -> str:
    """The sizes of the images in words."""
    sizes = sorted(found.sizes, key=lambda size: size[0] * size[1])
    if len(sizes) < 2:
        return "".join(f"{width} x {height} pixels, all" for width, height in sizes)
    (w0, h0), (w1, h1) = sizes[0], sizes[-1]
    shortest = min(map(min, sizes))
    return f"{len(sizes):,}, {w0} x {h0} to {w1} x {h1} pixels; shortest side {shortest}"
