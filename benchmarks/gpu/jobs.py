"""Training jobs on random images: bits after a kill, and models per hour."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ITEMS = ("train_correct", "test_correct", "loss", "train_accuracy", "train_log_odds")
KILLS = 2


def random_images(images: int):
    """Return a dataset of `images` random training images in 10 classes."""
    from memaudit.data.dataset import Dataset

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, images)
    return Dataset(list("abcdefghij"), pixels, labels, pixels[:1000], labels[:1000])


def job(given: argparse.Namespace) -> None:
    """Train `models` models in one job, into the shard OUT/NAME/none/...h5."""
    from memaudit.models.job import ShardJob, TrainingOptions, train_shard
    from memaudit.models.recipe import Recipe

    data = random_images(given.images)
    last = given.models - 1
    shard = ShardJob(
        path=given.output / given.name / "none" / f"000000-{last:06d}.h5",
        recipe_name=given.name,
        recipe=Recipe(
            given.network, given.epochs, given.batch, 0.1, 0.25, 0.9, 5e-4, 4, True, given.precision
        ),
        removal="none",
        masks={trial: np.ones(given.images, dtype=bool) for trial in range(given.models)},
        seed=0,
        margins=True,
    )
    options = TrainingOptions(device=given.device, checkpoint_minutes=given.checkpoint_minutes)
    train_shard(data, shard, options, lambda line: print(line, flush=True))


def start(
    given: argparse.Namespace, name: str, models: int, checkpoint_minutes: float
) -> subprocess.Popen:
    """Start `job` in a process of its own."""
    command = [sys.executable, str(Path(__file__).parent), "job", "--name", name]
    command += ["--models", str(models), "--checkpoint_minutes", str(checkpoint_minutes)]
    for key in ("output", "device", "network", "precision", "images", "batch", "epochs"):
        command += [f"--{key}", str(getattr(given, key))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def resume(given: argparse.Namespace) -> None:
    """Kill (SIGKILL) a training process as soon as it has saved, and compare the finished models.

    Exits with a message where a number differs from that of a process that was left alone.
    """
    for name in ("whole", "killed"):
        shutil.rmtree(given.output / name, ignore_errors=True)
    started = [start(given, "whole", 1, 1000.0)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    try:
        kill_and_resume(given, started)
    finally:
        for process in started:
            process.kill()
    compare(given)


def kill_and_resume(given: argparse.Namespace, started: list[subprocess.Popen]) -> None:
    """Train a model in processes that are killed, beside the first of `started`."""
    saved = given.output / "killed/none/.000000-000000.partial/000000.pt"
    for number in range(KILLS):
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        process = start(given, "killed", 1, 0.0)
        started.append(process)
        while process.poll() is None and (not saved.exists() or saved.stat().st_mtime_ns == before):
            time.sleep(0.01)
        if process.poll() is not None:
            sys.exit(f"ended with status {process.returncode} before kill {number + 1}")
        process.send_signal(signal.SIGKILL)
        process.wait()
    started.append(start(given, "killed", 1, 0.0))
    if started[-1].wait() or started[0].wait():
        sys.exit("a training process failed")


def compare(given: argparse.Namespace) -> None:
    """Print that both models are the same, or exit with what differs."""
    from memaudit.models.shards import reading_shard

    differ = []
    with (
        reading_shard(given.output / "whole/none/000000-000000.h5") as one,
        reading_shard(given.output / "killed/none/000000-000000.h5") as two,
    ):
        differ += [key for key in ITEMS if not np.array_equal(one[key][...], two[key][...])]
        loss = float(one["loss"][0, -1])
    if differ:
        sys.exit(
            f"{given.network}, {given.precision}: other {', '.join(differ)} after {KILLS} kills"
        )
    print(
        f"{given.network}, {given.precision}: the same bits after {KILLS} kills "
        f"({', '.join(ITEMS)}; last loss {loss:.7f})"
    )


def models(given: argparse.Namespace) -> None:
    """Compare the models per hour of one job with those of a plain loop, one process per model."""
    seconds = {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    shutil.rmtree(given.output / "rate", ignore_errors=True)
    for kind in ("job", "loop"):
        began = time.perf_counter()
        if kind == "job":
            count = given.models
            process = start(given, "rate", count, 5.0)
        else:
            count = 1
            command = [sys.executable, str(Path(__file__).parent), "loop"]
            for key in ("output", "device", "network", "images", "batch", "epochs"):
                command += [f"--{key}", str(getattr(given, key))]
            process = subprocess.Popen(command)
        try:
            if failed := process.wait():
                sys.exit(f"{kind}: status {failed}")
        finally:
            process.kill()
        seconds[kind] = (time.perf_counter() - began) / count
    found = {
        "network": given.network,
        "epochs": given.epochs,
        "images": given.images,
        "models_per_job": given.models,
        "job_seconds_per_model": round(seconds["job"], 2),
        "loop_seconds_per_model": round(seconds["loop"], 2),
        "models_per_hour_ratio": round(seconds["loop"] / seconds["job"], 2),
    }
    (given.output / "models.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


def loop(given: argparse.Namespace) -> None:
    """Train one model in the usual way: DataLoader, torchvision transforms, eager bfloat16."""
    import torch
    from PIL import Image
    from torch.nn import functional
    from torch.utils.data import DataLoader
    from torchvision import transforms

    from memaudit.models import networks

    data = random_images(given.images)
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    )

    class Images(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return given.images

        def __getitem__(self, index: int):
            image = transform(Image.fromarray(data.train_images[index]))
            return image, int(data.train_labels[index])

    device = torch.device(given.device)
    network = networks.build(given.network, 10, 0).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(
        Images(),
        given.batch,
        shuffle=True,
        drop_last=True,
        num_workers=max(1, len(os.sched_getaffinity(0)) - 1),
        pin_memory=device.type == "cuda",
        persistent_workers=True,
    )
    for _ in range(given.epochs):
        for images, labels in loader:
            images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
            labels = labels.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16):
                loss = functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"last loss {loss.item():.4f}")
