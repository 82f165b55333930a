"""The device a process trains on: a GPU shared with few others, or one thread of the CPU."""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from filelock import FileLock

from memaudit.errors import AuditError, Stopped
from memaudit.models.locks import try_acquire

NO_GPU = ("-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES

# The GPU of this process, chosen once and kept until the process ends, and the lock on it.
_chosen: list[tuple[torch.device, FileLock]] = []


def choose_device(
    setting: str,
    report: Callable[[str], None] = lambda line: None,
    processes_per_gpu: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> torch.device:
    """Return the device for `training.device`: "auto" is a GPU where there is one, else the CPU.

    A process gets one GPU, on which fewer than `processes_per_gpu` others train, and keeps it.
    Deterministic kernels are chosen there, so a seed gives the same bits again. On the CPU a
    process uses one thread: two processes with one thread each are faster than one with two.

    Raises AuditError where "cuda" finds no GPU or torch has no kernels for it, Stopped when
    `stopping()` while waiting for one.
    """
    if setting != "cpu" and torch.cuda.is_available():
        if not _chosen:
            names = gpu_names()
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False
            index, lock = take_gpu(names, report, processes_per_gpu, stopping)
            _chosen.append((torch.device("cuda", index), lock))
        torch.cuda.set_device(_chosen[0][0])
        return _chosen[0][0]
    if setting == "cuda":
        raise AuditError(
            "training.device is 'cuda' but torch finds no GPU here; set it to 'auto' or 'cpu', or "
            "run on a machine with a GPU"
        )
    if setting == "auto":
        given = [os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS")]
        report(
            f"GPU {given[0] or given[1]} was given to this job, but torch {torch.__version__} "
            "finds none: using the CPU (set training.device to 'cuda' to stop instead)"
            if any(given) and given[0] not in NO_GPU
            else "no GPU found; using the CPU"
        )
    torch.set_num_threads(1)
    return torch.device("cpu")


def describe(device: torch.device) -> str:
    """Return the name of the device, for the log and the shard."""
    if device.type == "cpu":
        return "CPU, one thread"
    return torch.cuda.get_device_name(device)


def gpu_names() -> dict[int, str]:
    """Return the UUIDs of the visible GPUs that this torch has kernels for, by index.

    Raises AuditError where there is none.
    """
    names, unusable = {}, []
    for index in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(index)
        if is_supported(capability, torch.cuda.get_arch_list()):
            names[index] = str(torch.cuda.get_device_properties(index).uuid)
        else:
            number = ".".join(map(str, capability))
            unusable.append(f"{torch.cuda.get_device_name(index)} (compute capability {number})")
    if not names:
        raise AuditError(
            f"torch {torch.__version__} supports {' '.join(torch.cuda.get_arch_list())}, not "
            f"{', '.join(unusable)}: install a torch built for it, or set training.device to 'cpu'"
        )
    return names


def is_supported(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Whether a GPU of `capability` runs code built for `architectures` (sm_90, compute_120, ...).

    Machine code (sm) runs on the same major and a higher minor version, PTX (compute) on all later
    ones. Other names are ROCm's, which are not checked.
    """
    have = 10 * capability[0] + capability[1]
    for architecture in architectures:
        kind, _, version = architecture.rstrip("af").partition("_")
        if kind not in ("sm", "compute"):
            return True
        built = int(version)
        if built <= have and (kind == "compute" or built // 10 == capability[0]):
            return True
    return False


def take_gpu(
    names: dict[int, str],
    report: Callable[[str], None],
    share: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> tuple[int, FileLock]:
    """Lock a GPU of `names` that fewer than `share` processes use, waiting until there is one.

    Returns its index and the lock, which is held until the process ends. Unused GPUs come first.
    """
    folder = Path(tempfile.gettempdir()) / f"memaudit-{os.getuid()}"
    waiting = False
    while True:
        for place, (index, name) in itertools.product(range(share), names.items()):
            lock = FileLock(folder / f"gpu-{name}{f'-{place}' if place else ''}.lock")
            if try_acquire(lock):
                return index, lock
        if stopping():
            raise Stopped("stopped by SIGTERM while waiting for a GPU")
        if not waiting:
            report(f"all {len(names)} GPUs are in use; waiting for one")
            waiting = True
        time.sleep(1)
