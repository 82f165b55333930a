"""Where a process trains: one GPU of its own where there is one, else one thread of the CPU."""

import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import torch

from memaudit.errors import AuditError
from memaudit.models import locks

_held: list[IO[str]] = []  # the lock of the GPU that this process has taken, until it ends


def choose_device(
    setting: str, report: Callable[[str], None] = lambda line: None, processes_per_gpu: int = 1
) -> torch.device:
    """The device for `training.device`: "auto" is the GPU where there is one, else the CPU.

    The GPU is one that fewer than `processes_per_gpu` processes of ours have taken. On the GPU
    the deterministic kernels are chosen, so a seed gives the same bits again. On the CPU a process
    uses one thread: two processes of one thread beat one of two, by far under load. `report` is
    told when there is no GPU where one could be expected.

    Raises AuditError where `setting` is "cuda" and torch finds no GPU.
    """
    found = torch.cuda.device_count() if setting != "cpu" and torch.cuda.is_available() else 0
    if setting == "cuda" and not found:
        raise AuditError(
            "training.device is 'cuda' but torch finds no GPU here; "
            "set it to 'auto' or 'cpu', or run where there is one"
        )
    if found:
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        names = gpu_names(found, os.environ)
        device = torch.device("cuda", take_gpu(names, report, processes_per_gpu))
        torch.cuda.set_device(device)
        return device
    torch.set_num_threads(1)
    if setting == "auto":
        given = os.environ.get("CUDA_VISIBLE_DEVICES") or os.environ.get("SLURM_JOB_GPUS")
        report(
            f"torch finds no GPU, though {given} was given to this job: training on the CPU"
            if given
            else "no GPU here: training on the CPU, one thread"
        )
    return torch.device("cpu")


def describe(device: torch.device) -> str:
    """The device in words, for the log and the shard."""
    if device.type == "cpu":
        return "CPU, one thread"
    return f"{torch.cuda.get_device_name(device)}, GPU {device.index}"


def gpu_names(count: int, environment: dict[str, str]) -> list[str]:
    """A name for each visible GPU that all our processes on this machine agree on.

    Slurm may number each job's GPUs from 0; there the job's number goes before it.
    """
    visible = [part.strip() for part in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    names = visible if len(visible) == count and all(visible) else list(map(str, range(count)))
    job = environment.get("SLURM_JOB_ID")
    return [f"job{job}-{name}" for name in names] if job else names


def take_gpu(names: list[str], report: Callable[[str], None], share: int = 1) -> int:
    """Index of a GPU of `names` that fewer than `share` processes have; waits until there is one.

    It is this process's until the process ends, however that comes about. GPUs that nobody has are
    taken first.
    """
    folder = Path(tempfile.gettempdir()) / f"memaudit-{os.getuid()}"
    told = False
    while True:
        for place, (index, name) in itertools.product(range(share), enumerate(names)):
            lock = folder / f"gpu-{name}{f'-{place}' if place else ''}.lock"
            file = locks.take(lock, f"process {os.getpid()}\n")
            if file is not None:
                _held.append(file)
                return index
        if not told:
            report(f"all {len(names)} GPUs are taken: waiting for one")
            told = True
        time.sleep(1)
