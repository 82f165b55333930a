"""What the machine and the installation can do: findings, each with what to do about it."""

import fcntl
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from memaudit.cores import usable_cores
from memaudit.errors import install_command
from memaudit.models import gpus

Status = Literal["ok", "warning", "problem"]

NEWEST_PYTHON = (3, 13)  # the newest that all tests have run on
NEEDED_FOR = {
    "core": "everything",
    "train": "training and the duplicate finder",
    "workflow": "`memaudit run`, `plan` and `init`",
}
FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX BF16",
}


@dataclass(frozen=True)
class Finding:
    """One line: what was checked, how it is, and what to do if it is not ok."""

    subject: str
    status: Status
    found: str
    remedy: str = ""


def findings() -> Iterator[Finding]:
    """Check one thing after the other."""
    yield _python()
    yield from _packages()
    yield _cpu()
    yield _memory()
    yield _gpu()
    yield _ffcv()
    yield _slurm()
    for name in ("results", "data"):
        yield _disk(name, Path(name), 5)
    yield _disk("temporary", Path(tempfile.gettempdir()), 1)
    yield _cache()
    yield _locking()


def _python() -> Finding:
    version = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] > NEWEST_PYTHON:
        newest = ".".join(map(str, NEWEST_PYTHON))
        return Finding("Python", "warning", version, f"not tested; {newest} is the newest tested")
    return Finding("Python", "ok", version)


def _packages() -> Iterator[Finding]:
    """Installed packages and versions, one line for each set of optional dependencies."""
    installed = importlib.metadata.packages_distributions().get("memaudit", [])
    if not installed:
        remedy = f"{install_command()} (in a clone)"
        yield Finding("packages", "problem", "memaudit is not installed", remedy)
        return
    wanted: dict[str, list[str]] = defaultdict(list)
    for requirement in importlib.metadata.requires(installed[0]) or []:
        name = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
        of_extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        if name != installed[0]:
            wanted[of_extra[1] if of_extra else "core"].append(name)
    for extra, purpose in NEEDED_FOR.items():
        found, missing = [], []
        for name in wanted[extra]:
            try:
                found.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                missing.append(name)
        if missing:
            yield Finding(
                extra,
                "problem" if extra == "core" else "warning",
                f"not installed: {', '.join(missing)}; needed for {purpose}",
                f"{install_command('' if extra == 'core' else extra)} (in a clone)",
            )
        else:
            yield Finding(extra, "ok", ", ".join(found))


def _cpu() -> Finding:
    usable = usable_cores()
    text = _text("/proc/cpuinfo")
    flags = set(next(iter(re.findall(r"^flags\s*:(.*)$", text, re.MULTILINE)), "").split())
    known = [name for flag, name in FLAGS.items() if flag in flags]
    found = (
        f"{usable} of {os.cpu_count()} cores usable; {', '.join(known) or 'no known vector units'}"
    )
    quota, _, period = _text("/sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdigit() and int(quota) < 0.9 * int(period) * (usable or 1):
        cores = max(1, int(quota) // int(period))
        return Finding(
            "CPU",
            "warning",
            f"{found}; the container is limited to {int(quota) / int(period):.1f} cores",
            f"memaudit run --cores {cores}",
        )
    if flags and "avx2" not in flags:
        return Finding("CPU", "warning", found, "training is several times slower without AVX2")
    return Finding("CPU", "ok", found)


def _memory() -> Finding:
    values = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE))
    if not values:
        return Finding("memory", "ok", "unknown")
    total, free = (int(values[name]) / 2**20 for name in ("MemTotal", "MemAvailable"))
    limit = _text("/sys/fs/cgroup/memory.max")
    if limit.isdigit():
        total = min(total, int(limit) / 2**30)
        used = _text("/sys/fs/cgroup/memory.current")
        free = min(free, total - int(used or 0) / 2**30)
    found = f"{free:.1f} of {total:.1f} GiB available"
    workers = usable_cores()
    if free < 1.5 * workers:
        cores = max(1, int(free / 1.5))
        return Finding(
            "memory",
            "warning",
            f"{found}; each training process takes about 1.5 GiB",
            f"run fewer at a time: memaudit run --cores {cores}",
        )
    return Finding("memory", "ok", found)


def _gpu() -> Finding:
    """The GPUs as torch sees them."""
    driver = ""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = _last_line(_ask(query).stdout) or "unknown"
    found = gpus.visible_gpus()
    if found.is_missing:
        if "No module named 'torch'" in found.error:
            return Finding("GPU", "ok", "not checked: torch is not installed")
        remedy = "reinstall it: pip install --force-reinstall torch torchvision"
        return Finding("GPU", "problem", f"importing torch failed: {found.error}", remedy)
    if found.usable:
        names = "; ".join(
            f"{gpu.name}, {gpu.memory / 2**30:.0f} GiB, compute capability {gpu.capability}"
            for gpu in found.usable
        )
        return Finding("GPU", "ok", f"{names}; driver {driver or 'unknown'}, {found.platform}")
    if not (driver or found.found or gpus.given_gpu()):
        return Finding("GPU", "ok", f"none; torch {found.torch} trains on the CPU")
    reason, _, remedy = found.reason.partition("; ")
    return Finding(
        "GPU",
        "problem",
        f"NVIDIA driver {driver or 'unknown'}, but {reason}",
        f"{remedy} (pytorch.org/get-started lists the builds of torch), or set training.device to "
        "'cpu'",
    )


def _ffcv() -> Finding:
    try:
        version = importlib.metadata.version("ffcv")
    except importlib.metadata.PackageNotFoundError:
        return Finding("FFCV", "ok", "not installed; needed only if the images exceed the memory")
    done = _ask([sys.executable, "-c", "import ffcv"])
    if done.returncode:
        return Finding(
            "FFCV",
            "warning",
            f"{version} is installed but cannot be imported: {_last_line(done.stderr)}",
            "rebuild it: pip install --force-reinstall --no-deps --no-build-isolation ffcv; it "
            "needs OpenCV and libturbojpeg. Or set training.loader to resident",
        )
    return Finding("FFCV", "ok", version)


def _slurm() -> Finding:
    if not shutil.which("sinfo"):
        return Finding("Slurm", "ok", "not found; needed only for --profile slurm")
    version, partitions = _ask(["sinfo", "--version"]), _ask(["sinfo", "-h", "-o", "%P"])
    if partitions.returncode:
        reason = _last_line(partitions.stderr)
        remedy = "run on a login node of the cluster; the profile slurm does not work here"
        return Finding("Slurm", "warning", f"sinfo failed: {reason}", remedy)
    names = ", ".join(partitions.stdout.split())
    return Finding("Slurm", "ok", f"{version.stdout.strip()}; partitions: {names}")


def _disk(subject: str, folder: Path, least: float) -> Finding:
    """Space and permission to write in a folder, or where it would be made."""
    folder = _existing(folder)
    free = shutil.disk_usage(folder).free / 2**30
    found = f"{free:,.1f} GiB free in {folder}"
    if error := _write_error(folder):
        remedy = (
            "run in another folder" if subject != "temporary" else "set TMPDIR to another folder"
        )
        return Finding(subject, "problem", f"{folder} is not writable ({error})", remedy)
    if free < least:
        remedy = "free some space; `memaudit plan` estimates what a study takes"
        return Finding(subject, "warning", found, remedy)
    return Finding(subject, "ok", found)


def _cache() -> Finding:
    """Folders in which Snakemake, matplotlib and numba keep files."""
    folders = [Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")]
    variables = ["XDG_CACHE_HOME"]
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        if os.environ.get(name):
            folders.append(Path(os.environ[name]))
            variables.append(name)
    for folder, variable in zip(folders, variables, strict=True):
        if error := _write_error(_existing(folder)):
            remedy = f"export {variable}=<a writable folder>"
            return Finding("caches", "problem", f"{folder} is not writable ({error})", remedy)
    return Finding("caches", "ok", ", ".join(f"{folder} is writable" for folder in folders))


def _locking() -> Finding:
    """Whether training processes can lock files here; reading HDF5 needs no locks."""
    import h5py

    folder, version = _existing(Path("results")), h5py.version.hdf5_version
    try:
        with tempfile.TemporaryFile(dir=folder) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return Finding(
            "HDF5",
            "warning",
            f"{version}; files in {folder} cannot be locked ({error.strerror}): two runs of the "
            "same study may train a model twice",
            "run a study once at a time; for other programs that read its files, "
            "export HDF5_USE_FILE_LOCKING=FALSE",
        )
    return Finding("HDF5", "ok", f"{version}; files in {folder} can be locked")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _write_error(folder: Path) -> str:
    """Return why no file can be written in `folder`, or an empty text."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _ask(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program; a failure to start or to end counts as status 1."""
    try:
        return gpus.run(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _last_line(text: str) -> str:
    return next(iter(text.strip().splitlines()[-1:]), "")
