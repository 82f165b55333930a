"""What a study will cost before it starts: models, hours on this machine, disk, downloads."""

import math
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from memaudit import store
from memaudit.data.image_folder import count_images
from memaudit.errors import AuditError
from memaudit.study.study import Study

# Training throughput, images a second at 32 x 32 pixels (scaled by area), forward and backward.
# CPU: measured, one thread of a 2-core Xeon. GPU: computed for an H200 and bfloat16, not measured
# (tiny: taken as resnet9); the trainer computes in float32, which will be slower.
IMAGES_PER_SECOND = {
    "cpu": {"fz_resnet50": 12, "resnet50": 12, "resnet18": 32, "resnet9": 76, "tiny": 9_900},
    "gpu": {
        "fz_resnet50": 17_000,
        "resnet50": 17_000,
        "resnet18": 110_000,
        "resnet9": 250_000,
        "tiny": 250_000,
    },
}


@dataclass(frozen=True)
class Machine:
    """What trains here: `workers` processes at a time, each on a "gpu" or a "cpu" core."""

    kind: str
    workers: int

    @property
    def words(self) -> str:
        name = "GPU" if self.kind == "gpu" else "CPU core"
        return f"{self.workers} {name}{'s' if self.workers > 1 else ''}"


def this_machine(device: str) -> Machine:
    """The machine as training sees it; `device` is `training.device`. No torch is imported."""
    gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*"))) or bool(shutil.which("nvidia-smi"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        gpus = min(gpus, len([name for name in visible.split(",") if name.strip()]))
    if gpus and device != "cpu":
        return Machine("gpu", int(gpus))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine("cpu", cores or 1)


@dataclass(frozen=True)
class Part:
    """The models of one recipe and removal: how many, and what one takes."""

    recipe: str
    removal: str
    models: int
    seconds: float  # of one model
    basis: str  # "measured" or "stated rate"

    @property
    def hours(self) -> float:
        """Device hours of all its models."""
        return self.models * self.seconds / 3600


@dataclass(frozen=True)
class JobCost:
    """What a training job asks a cluster for: minutes of run time, memory in MB; and why."""

    minutes: int
    memory_mb: int
    seconds_a_model: float


_costs: dict[tuple, JobCost] = {}


def job_cost(study: Study, kind: str, recipe: str, removal: str, models: int) -> JobCost:
    """Room enough for a job that trains `models` models on a "gpu" or a "cpu" core.

    Four times the estimated time and ten minutes: a job that needs more is killed, and goes on
    where it was when it is tried again. Memory for torch, and for the images three times over.
    """
    key = (study.results, kind, recipe, removal, models)
    if key not in _costs:
        cost = part(study, Machine(kind, 1), recipe, removal, models)
        n, side = _images(study)
        memory = 2000 + (4000 if kind == "gpu" else 0) + 3 * n * side * side * 3 / 1e6
        _costs[key] = JobCost(10 + math.ceil(4 * 60 * cost.hours), math.ceil(memory), cost.seconds)
    return _costs[key]


def part(study: Study, machine: Machine, recipe: str, removal: str, models: int) -> Part:
    """The cost of `models` models of one recipe and removal.

    From the mean time of the models of that recipe which are trained already on such a device,
    those of the same removal if there are any, else from the stated rate of the network.
    """
    folder = Path(study.results) / "models" / recipe
    measured = _measured(folder.glob(f"{removal}/*.h5"), machine.kind)
    if measured is None:
        measured = _measured(folder.glob("*/*.h5"), machine.kind)
    if measured is None and recipe not in study.config.recipes:  # it differs in weight decay alone
        return replace(part(study, machine, "weight_decay", removal, models), recipe=recipe)
    if measured is not None:
        return Part(recipe, removal, models, measured, "measured")
    wanted = study.recipes[recipe]
    n, side = _images(study)
    kept = study.config.memorization.subset_fraction if removal == "subset" else 1.0
    rates = IMAGES_PER_SECOND[machine.kind]
    # a network of the user's own is assumed to be as slow as the largest
    rate = rates.get(wanted["network"], min(rates.values())) * (32 / side) ** 2
    return Part(recipe, removal, models, n * kept * wanted["epochs"] / rate, "stated rate")


def _measured(shards: Iterable[Path], kind: str) -> float | None:
    """Mean seconds a model over a few of the shards, of those trained on that kind of device."""
    seconds: list[float] = []
    for path in sorted(shards)[:20]:
        try:
            with store.reading(path, store.SHARD) as file:
                devices = file.attrs.get("device", "not recorded").split("; ")
                kinds = {"cpu" if name.startswith("CPU") else "gpu" for name in devices}
                if "not recorded" not in devices and kinds == {kind}:
                    seconds += file["seconds"][:].tolist()
        except AuditError:
            continue
    return sum(seconds) / len(seconds) if seconds else None


def _images(study: Study) -> tuple[int, int]:
    """(training images, side in pixels); from the dataset where it is there, else as configured."""
    if Path(study.dataset).exists():
        with store.reading(study.dataset, store.DATASET) as file:
            return file["train/labels"].shape[0], file["train/images"].shape[1]
    dataset = study.config.dataset
    if dataset.kind == "image_folder":
        folder = dataset.image_folder
        count = count_images(folder.path or "", "train", folder.per_class)
        return count, folder.image_size or 32
    return study.n_train or 0, dataset.longtail.image_size if dataset.longtail else 32


def shard_bytes(study: Study, models: int) -> int:
    """Disk that the shards of `models` models take: a mask and correctness, a bit an example."""
    n, _ = _images(study)
    return models * ((2 * n + n // 5) // 8 + 4096)


def sweep_words(study: Study, machine: Machine) -> str:
    """What each sweep would cost on top of the study, a line a sweep; and all of them."""
    possible = [study.sweeps[name] for name in study.possible_sweeps]
    more = {
        sweep.name: Counter(
            {arm: study.n_models(*arm) for arm in sweep.arms if arm not in study.models}
        )
        for sweep in possible
    }
    together: Counter[tuple[str, str]] = Counter()
    for needed in more.values():
        together |= needed
    lines = ["On top of the study:"]
    for target, needed in (more | {"sweeps": together}).items():
        parts = estimate(study, machine, needed)
        hours = sum(p.hours for p in parts)
        lines.append(
            f"  snakemake {target:<16} {needed.total():>7} models {hours:>10,.1f} hours, "
            f"{duration(hours / machine.workers)} on this machine"
        )
    lines += [
        f"  snakemake {sweep.name:<16} needs {sweep.lacks}"
        for sweep in study.sweeps.values()
        if sweep.lacks
    ]
    return "\n".join(lines)


def estimate(study: Study, machine: Machine, models: Mapping[tuple[str, str], int]) -> list[Part]:
    """The cost of so many models of each (recipe, removal)."""
    return [part(study, machine, *arm, count) for arm, count in models.items()]


def words(study: Study, machine: Machine, parts: list[Part]) -> str:
    """The estimate as text, a line a part, then the sums."""
    lines = [f"{'recipe':<12} {'removal':<24} {'models':>7} {'s a model':>10} {'hours':>10}"]
    for p in parts:
        lines.append(
            f"{p.recipe:<12} {p.removal:<24} {p.models:>7} {p.seconds:>10,.1f} {p.hours:>10,.1f}  "
            f"{p.basis}"
        )
    total, hours = sum(p.models for p in parts), sum(p.hours for p in parts)
    lines.append(f"{'all':<37} {total:>7} {'':>10} {hours:>10,.1f}")
    lines.append(
        f"on this machine ({machine.words}) {duration(hours / machine.workers)} of training, and "
        "some seconds for each job; "
        f"{shard_bytes(study, total) / 1e9:.2g} GB of shards"
    )
    if machine.kind == "cpu":
        gpu = Machine("gpu", 1)
        on_gpu = sum(part(study, gpu, p.recipe, p.removal, p.models).hours for p in parts)
        lines.append(
            f"on one H200 GPU at least {on_gpu:,.1f} GPU hours ({duration(on_gpu)}), by rates "
            "computed for bfloat16, not measured"
        )
    return "\n".join(lines)


def duration(hours: float) -> str:
    """Hours in words a person would use."""
    if 3600 * hours < 90:
        return f"about {max(10, 10 * round(360 * hours))} seconds"
    if hours < 1:
        return f"about {round(60 * hours)} minutes"
    return f"about {hours:.1f} hours" if hours < 48 else f"about {hours / 24:,.0f} days"


def too_long(study: Study, machine: Machine, parts: list[Part]) -> str | None:
    """What to tell who starts a run longer than `training.max_hours` on this machine, else None."""
    limit = study.config.training.max_hours
    hours = sum(p.hours for p in parts) / machine.workers
    if limit is None or hours <= limit:
        return None
    return (
        f"this run would train {sum(p.models for p in parts):,} models, {duration(hours)} on this "
        f"machine ({machine.words}); training.max_hours = {limit} stops it before the first.\n"
        "`snakemake plan` shows the estimate, `make demo` is the same study in minutes. To go on "
        "regardless set training.max_hours to null in the configuration file; on a cluster there "
        "is no such limit."
    )
