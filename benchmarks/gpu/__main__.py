"""Measure and check training on a GPU, or train a study's models, in sessions of a few minutes.

    python benchmarks/gpu speed --output OUT --minutes 8
    python benchmarks/gpu resume --output OUT
    python benchmarks/gpu models --output OUT
    python benchmarks/gpu study --data data --config my.yaml --output results/my --minutes 9

Requires only torch (2.11 or later), numpy and h5py, and torchvision for resnet18 and resnet50: no
Snakemake, no installation, no internet.
Repeat the command until it reports that nothing is left; measurements in OUT/speed.csv and trained
models are not repeated.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from jobs import job, loop, models, resume
from speed import KEY, check, measure, speed
from study import study

from memaudit.errors import AuditError
from memaudit.models.network_names import NETWORKS
from memaudit.models.recipe import PRECISIONS


def count(text: str) -> int:
    """Return the number in `text`, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be a whole number, 1 or more")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("speed", help="measure images per second")
    two = commands.add_parser("measure", help="one process of a measurement (internal)")
    three = commands.add_parser("study", help="train a study's models")
    four = commands.add_parser("resume", help="kill a training process and compare the models")
    five = commands.add_parser("models", help="compare models per hour with a plain loop")
    six = commands.add_parser("job", help="one training job (internal)")
    seven = commands.add_parser("loop", help="a plain loop (internal)")
    for command in (one, two, three, four, five, six, seven):
        command.add_argument("--output", type=Path, required=True, help="output folder")
    for command in (one, two, four, five, six, seven):
        command.add_argument("--device", default="cuda", help="cuda, cuda:1, ... or cpu")
        command.add_argument("--images", type=count, default=50_000, help="training images")
        command.add_argument("--batch", type=count, default=512, help="images per step")
    for command in (four, five, six, seven):
        command.add_argument("--network", default="resnet9", choices=NETWORKS)
        command.add_argument("--epochs", type=count, default=8, help="epochs per model")
        command.add_argument("--precision", default="bfloat16", choices=PRECISIONS)
    for command in (five, six):
        command.add_argument("--models", type=count, default=4, help="models of the job")
    six.add_argument("--name", default="job")
    six.add_argument("--checkpoint_minutes", type=float, default=5.0)
    for command in (one, two):
        command.add_argument("--seconds", type=float, default=10, help="duration of a measurement")
    for command in (one, three):
        command.add_argument(
            "--minutes", type=float, default=8, help="minutes after which nothing is started"
        )
    one.add_argument(
        "--networks", nargs="+", default=["resnet9", "resnet18", "fz_resnet50", "resnet50"]
    )
    for key in KEY:
        two.add_argument(f"--{key}", type=int if key == "processes" else str)
    three.add_argument("--data", type=Path, required=True, help="folder with <dataset>.h5")
    three.add_argument("--config", type=Path, help="the study's configuration file")
    three.add_argument("--processes", type=int, default=1, help="processes on the GPU, 1 to 8")
    three.add_argument("--part", type=int, help="number of this process (internal)")
    given = parser.parse_args()
    if given.command == "study" and not 1 <= given.processes <= 8:
        parser.error(f"--processes {given.processes}: must be from 1 to 8")
    if given.command in ("resume", "models"):
        given.networks = [given.network]
        check(given)
    functions = (speed, measure, study, resume, models, job, loop)
    try:
        {function.__name__: function for function in functions}[given.command](given)
    except AuditError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
