"""The device a process trains on: a GPU shared with few others, or one thread of the CPU."""

import itertools
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock

from memaudit.errors import AuditError, Stopped
from memaudit.models.gpus import Gpu, Gpus, as_json, given_gpu, refusal
from memaudit.models.locks import try_acquire
from memaudit.models.recipe import Recipe

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

    Raises AuditError where "cuda" finds no GPU that torch can use, or one was given to this job
    and cannot be used; Stopped when `stopping()` while waiting for one.
    """
    gpus = Gpus() if setting == "cpu" else visible_to_torch()
    if reason := refusal(setting, gpus):
        raise AuditError(reason)
    if gpus.usable:
        if not _chosen:
            names = {gpu.index: gpu.uuid for gpu in gpus.usable}
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False
            index, lock = take_gpu(names, report, processes_per_gpu, stopping)
            _chosen.append((torch.device("cuda", index), lock))
        torch.cuda.set_device(_chosen[0][0])
        return _chosen[0][0]
    if setting == "auto":
        report("no GPU found; using the CPU")
    elif given := given_gpu():
        report(f"a GPU was given to this job ({given}), but training.device is 'cpu'")
    torch.set_num_threads(1)
    return torch.device("cpu")


def describe(device: torch.device) -> str:
    """Return the name of the device, for the log and the shard."""
    if device.type == "cpu":
        return f"CPU ({processor()}), one thread"
    return torch.cuda.get_device_name(device)


def processor() -> str:
    """Return the type of the processor: rounding, and so the last digits, may differ by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{key} {found[key]}" for key in ("cpu family", "model") if key in found]
    return ", ".join([name.replace(";", ","), *numbers])


@contextmanager
def enough_memory(name: str, recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Raise AuditError where the GPU has too little memory to train `name` ("recipe, removal")."""
    try:
        yield
    except RuntimeError as error:  # cuDNN's and cuBLAS's have no type of their own
        if not isinstance(error, torch.OutOfMemoryError) and "ALLOC_FAILED" not in str(error):
            raise
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(device))
        raise AuditError(
            f"{name}: the memory of {describe(device)} ({free:.1f} of {total:.1f} GiB free) does "
            f"not suffice for {recipe.network} with batches of {recipe.batch_size} images in "
            f"{recipe.precision}. Lower training.processes_per_gpu or end other programs on this "
            "GPU, or set the recipe's precision to bfloat16 or a smaller batch_size"
        ) from error


def visible_to_torch() -> Gpus:
    """Return the GPUs that torch sees, in this process; `memaudit.models.gpus` asks another."""
    architectures = torch.cuda.get_arch_list()
    found: list[Gpu] = []
    error = ""
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            capability = torch.cuda.get_device_capability(index)
            properties = torch.cuda.get_device_properties(index)
            found.append(
                Gpu(
                    index=index,
                    name=torch.cuda.get_device_name(index),
                    uuid=str(properties.uuid),
                    memory=int(properties.total_memory),
                    capability=".".join(map(str, capability)),
                    is_supported=is_supported(capability, architectures),
                )
            )
    else:
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError) as failure:  # no driver, too old a driver, no CUDA
            error = str(failure).strip().partition("\n")[0]
    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else ""
    if torch.version.hip:
        built_for = f"ROCm {torch.version.hip}"
    return Gpus(
        torch=str(torch.__version__),
        platform=built_for,
        architectures=tuple(architectures),
        found=tuple(found),
        error=error,
    )


def print_gpus() -> None:
    """Print `visible_to_torch()` as JSON, after a first use of a GPU."""
    gpus = visible_to_torch()
    if gpus.usable:
        torch.zeros(1, device=f"cuda:{gpus.usable[0].index}")
    print(as_json(gpus))


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
