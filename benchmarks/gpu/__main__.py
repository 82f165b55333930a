"""Speed of training on a GPU, and a study's models, in pieces of some minutes.

    python benchmarks/gpu speed --output OUT --minutes 8
    python benchmarks/gpu study --data data --config my.yaml --output results/my --minutes 9

For a machine with a GPU and little else: torch (2.11 or later), numpy and h5py; no Snakemake, no
installation, no internet. Run it again until it says that nothing is left: measurements that are in
OUT/speed.csv, and models that are trained, are not done again.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from speed import KEY, measure, speed
from study import study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("speed", help="images a second")
    two = commands.add_parser("measure", help="one process of a measurement (used by itself)")
    three = commands.add_parser("study", help="train a study's models")
    for command in (one, two, three):
        command.add_argument("--output", type=Path, required=True, help="folder of what is made")
    for command in (one, two):
        command.add_argument("--device", default="cuda")
        command.add_argument("--images", type=int, default=50_000, help="training images")
        command.add_argument("--batch", type=int, default=512, help="images a step")
        command.add_argument("--seconds", type=float, default=10, help="of a measurement")
    for command in (one, three):
        command.add_argument("--minutes", type=float, default=8, help="none is begun after these")
    one.add_argument(
        "--networks", nargs="+", default=["resnet9", "resnet18", "fz_resnet50", "resnet50"]
    )
    for key in KEY:
        two.add_argument(f"--{key}", type=int if key == "processes" else str)
    three.add_argument("--data", type=Path, required=True, help="folder with <dataset>.h5")
    three.add_argument("--config", type=Path, help="the study's configuration file")
    three.add_argument("--processes", type=int, default=1, help="that share the GPU: 1 to 8")
    three.add_argument("--part", type=int, help="which of the processes this is (used by itself)")
    given = parser.parse_args()
    if given.command == "study" and not 1 <= given.processes <= 8:
        parser.error(f"--processes {given.processes}: must be from 1 to 8")
    {"speed": speed, "measure": measure, "study": study}[given.command](given)


if __name__ == "__main__":
    main()
