"""Speed of training on a GPU, and a study's models, in pieces of some minutes.

    python benchmarks/gpu.py speed --output OUT --minutes 8
    python benchmarks/gpu.py study --data data --config my.yaml --output results/my --minutes 9

For a machine with a GPU and little else: torch (2.11 or later), numpy and h5py; no Snakemake, no
installation, no internet. Run it again until it says that nothing is left: measurements that are in
OUT/speed.csv, and models that are trained, are not done again.

`speed` measures images a second of the trainer as it runs in a study (its loader, its step, the
wait at the end of an epoch), each measurement in processes of its own, and writes a line after
each. `study` trains the models of a study into the files in which the workflow looks for them:
subset models and models on all points first; then, where Snakemake has made the lists of points
from those (it says how), the models without them. With --config it needs PyYAML, jsonschema and
scipy too, and writes OUT/study.json; without, it reads that file, so `--minutes 0` elsewhere
prepares the study for a machine that lacks them. Every model is saved when it is done, the one in
training at the end of the minutes.
"""

import argparse
import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

# Images a second that an H200 cannot exceed at 32 x 32 pixels in bfloat16, computed: 8 million
# images (160 epochs of 50,000) in so many seconds, from the bytes that convolutions and batch norm,
# fused with what follows it, move through memory at BANDWIDTH (measured on that GPU), or from its
# 790 TFLOP/s where that takes longer. Batch norm as eager kernels takes 313, 313, 71 and 32 s.
ROOFLINE = {
    "fz_resnet50": 8e6 / 229,  # that of resnet50: the same convolutions
    "resnet50": 8e6 / 229,
    "resnet18": 8e6 / 57,
    "resnet9": 8e6 / 27,
}
BANDWIDTH = 4.3e12  # bytes a second, read and written
MODES = ("eager", "compiled", "graph")
KEY = ("network", "precision", "mode", "feed", "processes")
COLUMNS = (
    *("device", *KEY, "batch", "images_per_second", "share_of_roofline", "start_seconds"),
    *("memory_gb", "copied_gb_per_second", "torch", "error"),
)


def plan(networks: list[str]) -> list[dict]:
    """What `speed` measures, what matters most first."""
    rows = [
        ("copy", "", "", "", 1),  # the bandwidth of this GPU's memory
        *itertools.product(networks, ["bfloat16"], MODES, ["resident"], [1]),
        *itertools.product(networks, ["bfloat16"], ["graph"], ["compute"], [1]),
        *itertools.product(networks, ["bfloat16"], ["graph"], ["resident"], [2, 3, 4]),
        *itertools.product(networks, ["float32"], MODES, ["resident"], [1]),
        *itertools.product(networks, ["bfloat16"], ["graph"], ["ffcv"], [1]),
        *itertools.product(networks, ["bfloat16"], ["eager"], ["resident"], [2, 4]),
    ]
    return [dict(zip(KEY, row, strict=True)) for row in rows]


def measure(given: argparse.Namespace) -> None:
    """One process of a measurement: it gets ready, waits for a line, trains for `seconds`.

    Prints a line of JSON when ready and one when done.
    """
    import numpy as np
    import torch

    from memaudit.data.dataset import Dataset
    from memaudit.models import training
    from memaudit.models.loaders import choose_loader
    from memaudit.models.recipe import Recipe
    from memaudit.models.step import Step

    started = time.perf_counter()
    device = torch.device(given.device)
    about = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": str(torch.__version__),
    }
    if given.network == "copy":
        print(json.dumps(about), flush=True)
        print(json.dumps({"copied_gb_per_second": round(copied(device), 1)}), flush=True)
        return
    torch.backends.cudnn.deterministic = True  # as the trainer
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (given.images, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, given.images)
    data = Dataset(list("abcdefghij"), pixels, labels, pixels[:10], labels[:10])
    recipe = Recipe(given.network, 1, given.batch, 0.01, 0, 0.9, 5e-4, 4, True, given.precision)
    kind = "ffcv" if given.feed == "ffcv" else "resident"
    loader = choose_loader(kind, data, 4, device, given.output / "random.beton")
    step = Step(recipe, 10, device, graph=given.mode == "graph")
    if given.mode == "compiled":
        step.network.compile()
    ready = next(loader.train_batches(np.arange(given.images), given.batch, 0, 0, True))

    def train(number: int, steps: int) -> int:
        """`steps` steps of epoch `number`, and the wait at its end; the number of images."""
        order = rng.permutation(given.images)[: steps * given.batch]
        batches = loader.train_batches(order, given.batch, 0, number, True)
        if given.feed == "compute":
            batches = [ready] * steps
        with training._precision(recipe, device):
            training._train_epoch(step, batches, [0.01] * steps)
        return steps * given.batch

    steps = given.images // given.batch
    if given.processes > 1:
        steps = min(25, steps)  # so that all of them end at about the same time
    train(0, min(10, steps))
    print(json.dumps({"start_seconds": round(time.perf_counter() - started, 2), **about}))
    sys.stdout.flush()
    sys.stdin.readline()
    images, number, began = 0, 1, time.perf_counter()
    while (seconds := time.perf_counter() - began) < given.seconds:
        images += train(number, steps)
        number += 1
    memory = torch.cuda.max_memory_reserved(device) / 1e9 if device.type == "cuda" else 0.0
    print(json.dumps({"images_per_second": images / seconds, "memory_gb": memory}), flush=True)


def copied(device) -> float:
    """Gigabytes a second that a copy within the device's memory reads and writes."""
    import torch

    size = 2**30 if device.type == "cuda" else 2**26
    one, two = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for repeats in (3, 20):  # the first for warming up
        synchronize()
        started = time.perf_counter()
        for _ in range(repeats):
            two.copy_(one)
        synchronize()
    return 2 * size * repeats / (time.perf_counter() - started) / 1e9


def run(row: dict, given: argparse.Namespace, limit: float) -> dict:
    """Measure `row` in its number of processes, which train at the same time.

    Raises TimeoutError after `limit` seconds, RuntimeError with the last words of a process that
    failed.
    """
    command = [sys.executable, Path(__file__), "measure", "--output", given.output]
    options = row | {key: getattr(given, key) for key in ("device", "images", "batch", "seconds")}
    for key, value in options.items():
        command += [f"--{key}", str(value)]
    with tempfile.TemporaryFile("w+") as errors:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        many = [subprocess.Popen(command, text=True, **pipes) for _ in range(row["processes"])]
        timer = threading.Timer(limit, lambda: [process.kill() for process in many])
        timer.start()
        try:
            starts = [process.stdout.readline() for process in many]
            for process in many:
                with suppress(BrokenPipeError):
                    process.stdin.write("\n")
                    process.stdin.flush()
            ends = [process.stdout.readline() for process in many]
            late = timer.finished.is_set()
        finally:
            timer.cancel()
            for process in many:
                process.kill()
                process.communicate()
        if late:
            raise TimeoutError
        if not all(starts + ends):
            errors.seek(0)
            raise RuntimeError((errors.read().strip().splitlines() or ["killed"])[-1])
    found = json.loads(starts[0]) | json.loads(ends[0])
    for key in {"images_per_second", "memory_gb"} & set(found):
        found[key] = round(sum(json.loads(end)[key] for end in ends), 2)
    return found


def speed(given: argparse.Namespace) -> None:
    """Measure what is not in OUT/speed.csv yet, for so many minutes."""
    deadline = time.monotonic() + 60 * given.minutes
    given.output.mkdir(parents=True, exist_ok=True)
    path, done, copied_here = given.output / "speed.csv", set(), None
    if path.exists():
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                done.add(tuple(row[key] for key in KEY))
                copied_here = float(row["copied_gb_per_second"] or 0) or copied_here
    else:
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(COLUMNS)
    left = [row for row in plan(given.networks) if tuple(map(str, row.values())) not in done]
    longest = 20 + 2 * given.seconds
    for number, row in enumerate(left):
        started = time.monotonic()
        if started + longest > deadline:
            print(f"{len(left) - number} measurements are left: run it again")
            return
        try:
            found = row | run(row, given, deadline - started)
        except TimeoutError:
            print(f"no time for {row}: {len(left) - number} measurements are left, run it again")
            return
        except RuntimeError as error:
            found = row | {"error": str(error)[:300]}
        longest = max(longest, time.monotonic() - started)
        found["batch"] = given.batch
        copied_here = found.get("copied_gb_per_second", copied_here)
        if copied_here and "images_per_second" in found and row["network"] in ROOFLINE:
            reachable = ROOFLINE[row["network"]] * copied_here * 1e9 / BANDWIDTH
            found["share_of_roofline"] = round(found["images_per_second"] / reachable, 3)
        with open(path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(found)
        print(json.dumps(found), flush=True)
    print(f"nothing is left; {path}")


def prepare(given: argparse.Namespace) -> dict:
    """The study that `--config` describes, over the shipped configuration, as in OUT/study.json."""
    import yaml

    from memaudit.study import checks
    from memaudit.study import config as settings

    def laid_over(under: dict, over: dict) -> dict:
        both = {
            k: laid_over(under[k], over[k])
            for k in under.keys() & over.keys()
            if isinstance(under[k], dict) and isinstance(over[k], dict)
        }
        return under | over | both

    shipped = ROOT / "config" / "config.yaml"
    checks.check_files([shipped, given.config])
    config = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    try:
        own = yaml.safe_load(given.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        sys.exit(f"--config {given.config}: cannot be read ({error})")
    if not isinstance(own, dict):
        sys.exit(f"--config {given.config}: it holds no keys; see config/demo.yaml for its form")
    config = laid_over(config, own)
    checks.check(config, ROOT / "config" / "schema.yaml")
    arms = settings.arms(config)
    whole = [(recipe, "none") for recipe in dict.fromkeys(recipe for recipe, _ in arms)]
    models = {arm: config["trials"] for arm in whole + arms}
    if config["memorization"]["source"] == "estimate":
        first = (config["memorization"]["recipe"], "subset")
        models = {first: config["memorization"]["models"]} | models
    return {
        "dataset": config["dataset"]["name"],
        "seed": config["seed"],
        "fraction": config["memorization"]["subset_fraction"],
        "recipes": config["recipes"],
        "training": config["training"],
        "removals": config["removals"],
        "shards": [
            [recipe, removal, chunk]
            for (recipe, removal), count in models.items()
            for chunk in settings.chunks(count, config["training"]["models_per_job"])
        ],
    }


def study(given: argparse.Namespace) -> None:
    """Train models of the study for so many minutes."""
    from memaudit import store
    from memaudit.errors import AuditError

    note = given.output / "study.json"
    try:
        if given.config:
            text = json.dumps(prepare(given), indent=1)
            with store.whole(note) as temporary:
                temporary.write_text(text, encoding="utf-8")
        if not note.exists():
            sys.exit(f"there is no {note}: give --config, here or on a machine that has PyYAML")
        plan = json.loads(note.read_text(encoding="utf-8"))
        if given.minutes <= 0:
            print(f"{note}: {len(plan['shards'])} shards to train; --minutes 0 trains none of them")
            return
        data = given.data / f"{plan['dataset']}.h5"
        if not data.exists():
            sys.exit(f"there is no {data}: `snakemake data/{data.name}` makes it; bring it here")
        train_study(plan, given)
    except AuditError as error:
        sys.exit(f"error: {error}")


def train_study(plan: dict, given: argparse.Namespace) -> None:
    """One process's part of the shards, every `processes`-th, until SIGTERM or the last minute."""
    from memaudit.data.dataset import load
    from memaudit.errors import Stopped
    from memaudit.models.checkpoint import until_sigterm
    from memaudit.models.job import train_shard
    from memaudit.models.recipe import Recipe
    from memaudit.models.removals import CONTROL, read_points, training_mask

    others = []
    if given.part is None and given.processes > 1:
        command = [sys.executable, *sys.argv]
        parts = range(1, given.processes)
        others = [subprocess.Popen([*command, "--part", str(part)]) for part in parts]
    settings = plan["training"]
    data = load(given.data / f"{plan['dataset']}.h5")
    waiting: dict[str, None] = {}
    left = 0
    end = threading.Timer(60 * given.minutes, os.kill, (os.getpid(), signal.SIGTERM))
    end.daemon = True
    with until_sigterm() as stopping:
        end.start()
        for recipe, removal, chunk in plan["shards"][given.part or 0 :: given.processes]:
            path = given.output / "models" / recipe / removal / f"{chunk}.h5"
            name = removal.removeprefix(CONTROL)
            listed = plan["removals"].get(name, given.output / "removals" / f"{name}.txt")
            if path.exists():
                continue
            if name in ("none", "subset"):
                points = None
            elif Path(listed).exists():
                points = read_points(listed, data.n_train)
            else:
                waiting[str(listed)] = None
                continue
            if stopping():
                left += 1
                continue
            first, last = map(int, chunk.split("-"))
            masks = {
                trial: training_mask(
                    removal, trial, data.train_labels, plan["seed"], points, plan["fraction"]
                )
                for trial in range(first, last + 1)
            }
            try:
                train_shard(
                    path,
                    data,
                    recipe,
                    Recipe.of(plan["recipes"][recipe]),
                    removal,
                    masks,
                    plan["seed"],
                    settings["device"],
                    settings["loader"],
                    given.data / f"{plan['dataset']}.beton",
                    settings["test_every"],
                    settings["checkpoint_minutes"],
                    lambda line: print(line, flush=True),
                    settings["cuda_graphs"],
                    given.processes,
                )
            except Stopped as stopped:
                print(stopped, flush=True)
                left += 1
                os.kill(os.getpid(), signal.SIGTERM)  # train_shard has heard it, this loop has not
        end.cancel()
    for process in others:
        process.wait()
    if left:
        print(f"{left} shards of this process are left: run it again")
    elif waiting:
        print(f"what can be trained is; now, with Snakemake: snakemake {' '.join(waiting)}")
    else:
        print("every model of this process is trained")


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
    three.add_argument("--processes", type=int, default=1, help="that share the GPU")
    three.add_argument("--part", type=int, help="which of the processes this is (used by itself)")
    given = parser.parse_args()
    {"speed": speed, "measure": measure, "study": study}[given.command](given)


if __name__ == "__main__":
    main()
