"""The GPUs that torch can use here, without importing torch, and why one cannot be used."""

import dataclasses
import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HIDDEN = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide all GPUs
ANSWER = "MEMAUDIT_GPUS"  # environment variable that passes the answer on to the jobs of a run
TIMEOUT = 180  # seconds; importing torch from a slow disk takes a minute
# Files of a machine that may have a GPU: NVIDIA's driver, WSL 2, AMD's driver.
SIGNS = ("/proc/driver/nvidia/gpus/*", "/dev/nvidia[0-9]*", "/dev/dxg", "/dev/kfd")
GIVEN = "/dev/nvidia[0-9]*"  # a container without a GPU has the driver's files, but not these


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch sees; `memory` in bytes, `index` as torch counts."""

    index: int
    name: str
    uuid: str
    memory: int
    capability: str
    is_supported: bool


@dataclass(frozen=True)
class Gpus:
    """What torch sees: its version, the CUDA or ROCm it was built for, and the GPUs.

    `architectures` are those that torch has kernels for. `error` is torch's reason for seeing no
    GPU; `is_missing` says that torch itself cannot be imported, for the reason in `error`.
    """

    torch: str = ""
    platform: str = ""
    architectures: tuple[str, ...] = ()
    found: tuple[Gpu, ...] = ()
    error: str = ""
    is_missing: bool = False

    @property
    def usable(self) -> list[Gpu]:
        """The GPUs that torch has kernels for."""
        return [gpu for gpu in self.found if gpu.is_supported]

    @property
    def reason(self) -> str:
        """Why no GPU can be used, and what to do."""
        if self.is_missing:
            return f"torch cannot be imported ({self.error}); reinstall it"
        if self.found:
            cards = ", ".join(f"{g.name} (compute capability {g.capability})" for g in self.found)
            return (
                f"torch {self.torch} supports {' '.join(self.architectures)}, not {cards}; install "
                "a torch built for it"
            )
        if not self.platform:
            return f"torch {self.torch} is a build without CUDA; install one with CUDA"
        if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) in HIDDEN:
            return f"CUDA_VISIBLE_DEVICES={visible} hides all GPUs; unset it"
        return (
            f"torch {self.torch} ({self.platform}) finds none"
            f"{f' ({self.error})' if self.error else ''}; check that nvidia-smi lists it and that "
            "the driver supports this version; `memaudit doctor` shows both"
        )


def given_gpu() -> str:
    """Return what gave a GPU to this process (such as "CUDA_VISIBLE_DEVICES=0"), or an empty text.

    A variable of the job, or, outside a Slurm job, a device file of the machine.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return "" if visible in HIDDEN else f"CUDA_VISIBLE_DEVICES={visible}"
    if of_job := os.environ.get("SLURM_JOB_GPUS"):
        return f"SLURM_JOB_GPUS={of_job}"
    if "SLURM_JOB_ID" in os.environ:
        return ""
    return next(iter(_existing(GIVEN)), "")


def refusal(device: str, gpus: Gpus) -> str:
    """Return why training on `training.device` must stop, or an empty text.

    "cuda" needs a GPU. "auto" may use the CPU, unless a GPU was given and cannot be used: a study
    for a GPU would take weeks there.
    """
    if device == "cpu" or gpus.usable:
        return ""
    if device == "cuda":
        return f"training.device is 'cuda', but torch can use no GPU here: {gpus.reason}"
    given = given_gpu() or ("the GPU of this machine" if gpus.found else "")
    if not given:
        return ""
    return (
        f"a GPU was given to this job ({given}), but cannot be used: {gpus.reason}. To train on "
        "the CPU instead, set training.device to 'cpu'"
    )


def visible_gpus() -> Gpus:
    """Return what torch sees, asked once in a process of its own, which a bad driver may kill.

    Processes that this one starts on the same machine and with the same GPUs get the same answer.
    """
    return _visible_gpus(_circumstances())


def may_have_gpu() -> bool:
    """Whether torch must be asked: a GPU was given, or the machine has files of a GPU's driver."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in HIDDEN:
        return False
    return bool(given_gpu()) or any(_existing(pattern) for pattern in SIGNS)


def _circumstances() -> str:
    """What the answer depends on."""
    names = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "SLURM_JOB_ID")
    variables = [os.environ.get(name) for name in names]
    return json.dumps([platform.node(), sys.executable, *variables])


@functools.cache
def _visible_gpus(circumstances: str) -> Gpus:
    try:
        kept, answer = json.loads(os.environ.get(ANSWER, "null"))
    except (TypeError, ValueError):
        kept = answer = None
    if kept != circumstances:
        answer = _ask()
        os.environ[ANSWER] = json.dumps([circumstances, answer])
    gpus = tuple(Gpu(**gpu) for gpu in answer.pop("found", ()))
    return Gpus(**{**answer, "architectures": tuple(answer.get("architectures", ()))}, found=gpus)


def _ask() -> dict[str, object]:
    """Ask `memaudit.models.device` in another process; returns the fields of `Gpus`."""
    program = "from memaudit.models.device import print_gpus; print_gpus()"
    try:
        done = run([sys.executable, "-c", program])
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error), "is_missing": True}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"ended with status {done.returncode}"
        return {"error": reason, "is_missing": True}
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it printed."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)


def _existing(pattern: str) -> list[str]:
    return [str(path) for path in sorted(Path("/").glob(pattern.lstrip("/")))]


def as_json(gpus: Gpus) -> str:
    """Return `gpus` as one line of JSON."""
    return json.dumps(dataclasses.asdict(gpus))
