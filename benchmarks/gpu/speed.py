"""Measure the trainer's images per second as in a study, and compare with the GPU's limit.

Loader, training step and the synchronization at the end of an epoch are included. Each measurement
runs in separate processes and adds one line to OUT/speed.csv.
"""

import argparse
import csv
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

# Computed upper bound of images per second on an H200 at 32 x 32 pixels in bfloat16: 8 million
# images (160 epochs of 50,000) divided by the seconds that follow from the memory traffic of
# convolutions and fused batch norm at BANDWIDTH (measured on that GPU), or from 790 TFLOP/s if that
# takes longer. With batch norm as eager kernels the seconds are 313, 313, 71 and 32.
ROOFLINE = {
    "fz_resnet50": 8e6 / 229,  # as resnet50: the same convolutions
    "resnet50": 8e6 / 229,
    "resnet18": 8e6 / 57,
    "resnet9": 8e6 / 27,
}
BANDWIDTH = 4.3e12  # bytes per second, read plus written
KEY = ("network", "precision", "mode", "feed", "processes")
SETTINGS = ("on", "images", "batch")  # device, number of images, images per step
COLUMNS = (
    *("device", *SETTINGS, *KEY, "images_per_second", "share_of_roofline", "start_seconds"),
    *("memory_gb", "copied_gb_per_second", "torch", "error"),
)


def plan(networks: list[str]) -> list[dict]:
    """Return the measurements of `speed`, most important first."""
    rows = [
        ("copy", "", "", "", 1),  # memory bandwidth of this GPU
        *itertools.product(networks, ["bfloat16"], ["graph"], ["resident"], [1]),
        *itertools.product(networks, ["bfloat16"], ["graph"], ["compute"], [1]),
        *itertools.product(networks, ["bfloat16"], ["eager"], ["resident"], [1]),
        *itertools.product(networks, ["bfloat16"], ["graph"], ["resident"], [2, 3, 4]),
        *itertools.product(networks, ["tf32", "float32"], ["graph"], ["resident"], [1]),
        *itertools.product(networks, ["bfloat16"], ["compiled"], ["resident"], [1]),
        *itertools.product(networks, ["float32"], ["eager", "compiled"], ["resident"], [1]),
        *itertools.product(networks, ["bfloat16"], ["graph"], ["ffcv"], [1]),
        *itertools.product(networks, ["bfloat16"], ["eager"], ["resident"], [2, 4]),
    ]
    return [dict(zip(KEY, row, strict=True)) for row in rows]


def measure(given: argparse.Namespace) -> None:
    """Run one process of a measurement: prepare, wait for a line on stdin, train for `seconds`.

    Prints one line of JSON when ready and one at the end.
    """
    import numpy as np
    import torch

    from memaudit.data.dataset import Dataset
    from memaudit.models.loaders import choose_loader
    from memaudit.models.recipe import Recipe
    from memaudit.models.step import Step
    from memaudit.models.training import train_epoch

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
    torch.backends.cudnn.deterministic = True  # as in the trainer
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
        """Run `steps` steps of epoch `number` and synchronize; return the number of images."""
        order = rng.permutation(given.images)[: steps * given.batch]
        batches = loader.train_batches(order, given.batch, 0, number, True)
        if given.feed == "compute":
            batches = [ready] * steps
        train_epoch(step, batches, [0.01] * steps)
        return steps * given.batch

    steps = given.images // given.batch
    if given.processes > 1:
        steps = min(25, steps)  # so that all processes end at about the same time
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
    """Return the bandwidth of a copy within the device's memory, GB/s read plus written."""
    import torch

    size = 2**30 if device.type == "cuda" else 2**26
    one, two = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for repeats in (3, 20):  # the first is a warm-up
        synchronize()
        started = time.perf_counter()
        for _ in range(repeats):
            two.copy_(one)
        synchronize()
    return 2 * size * repeats / (time.perf_counter() - started) / 1e9


def run(row: dict, given: argparse.Namespace, limit: float) -> dict:
    """Measure `row` with its number of concurrent processes.

    Raises TimeoutError after `limit` seconds, RuntimeError with the last line of stderr if a
    process fails.
    """
    command = [sys.executable, Path(__file__).parent, "measure", "--output", given.output]
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


def check(given: argparse.Namespace) -> None:
    """Exit with a message if the options cannot be measured on this machine."""
    import torch

    from memaudit.models.network_names import NETWORKS

    if unknown := set(given.networks) - set(NETWORKS):
        sys.exit(f"--networks {' '.join(sorted(unknown))}: the networks are {', '.join(NETWORKS)}")
    if not 1 <= given.batch <= given.images:
        sys.exit(f"--batch {given.batch}: must be from 1 to --images, {given.images}")
    try:
        device = torch.device(given.device)
    except RuntimeError:
        sys.exit(f"--device {given.device}: must be cuda, cuda:0, cuda:1, ... or cpu")
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(f"--device {given.device}: no GPU found; use --device cpu to try the script")
    try:
        given.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"--output {given.output}: cannot create the folder ({error.strerror})")


def measured(path: Path, asked: dict) -> tuple[set[tuple], float | None]:
    """Return what `path` contains for these settings: keys of measurements, GB/s of the copy."""
    if not path.exists():
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(COLUMNS)
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            sys.exit(f"{path}: not written by this script; choose another --output")
        same = [row for row in rows if all(row[key] == str(asked[key]) for key in SETTINGS)]
    copies = [float(row["copied_gb_per_second"]) for row in same if row["copied_gb_per_second"]]
    return {tuple(row[key] for key in KEY) for row in same}, copies[-1] if copies else None


def speed(given: argparse.Namespace) -> None:
    """Measure what is missing in OUT/speed.csv until the minutes are over."""
    deadline = time.monotonic() + 60 * given.minutes
    check(given)
    path = given.output / "speed.csv"
    asked = {"on": given.device, "images": given.images, "batch": given.batch}
    done, copied_here = measured(path, asked)
    left = [row for row in plan(given.networks) if tuple(map(str, row.values())) not in done]
    longest = 20 + 2 * given.seconds
    for number, row in enumerate(left):
        started = time.monotonic()
        if started + longest > deadline:
            print(f"{len(left) - number} measurements left; run the command again")
            return
        try:
            found = row | run(row, given, deadline - started)
        except TimeoutError:
            print(f"out of time, {len(left) - number} measurements left; run the command again")
            return
        except RuntimeError as error:
            found = row | {"error": str(error)[:300]}
        longest = max(longest, time.monotonic() - started)
        found |= asked
        copied_here = found.get("copied_gb_per_second", copied_here)
        if copied_here and "images_per_second" in found and row["network"] in ROOFLINE:
            reachable = ROOFLINE[row["network"]] * copied_here * 1e9 / BANDWIDTH
            found["share_of_roofline"] = round(found["images_per_second"] / reachable, 3)
        with open(path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(found)
        print(json.dumps(found), flush=True)
    print(f"nothing left to measure; results are in {path}")
