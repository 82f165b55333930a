"""Estimate what a study costs before it starts: models, hours on this machine, disk, downloads."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from memaudit.cores import usable_cores
from memaudit.models.gpus import may_have_gpu, refusal, visible_gpus
from memaudit.models.removals import CONTROL, read_examples
from memaudit.models.shards import TRIALS
from memaudit.study import rates, trained
from memaudit.study.images import known
from memaudit.study.model_times import ASSUMED, SLOWEST, TIMED, Kind, seconds_per_model
from memaudit.study.study import Study
from memaudit.templates import render

START_UP = {"cpu": 5.0, "gpu": 10.0}  # seconds in which a job starts Python and loads torch
JOB = 1800  # seconds that a job takes with models_per_job "auto", about


@dataclass(frozen=True)
class Machine:
    """What trains: `workers` processes at a time, each on a GPU or on a CPU core.

    `problem` is why training stops on this machine, or empty.
    """

    kind: Kind
    workers: int
    problem: str = ""

    @property
    def hours(self) -> str:
        """The unit of its hours."""
        return "GPU hours" if self.kind == "gpu" else "core hours"

    def __str__(self) -> str:
        name = "GPU" if self.kind == "gpu" else "CPU core"
        return f"{self.workers} {name}{'s' if self.workers > 1 else ''}"


@dataclass(frozen=True)
class Part:
    """The models of one recipe and removal, and their cost.

    `basis` is "measured" on models of the study, "timed" for a rate of `rates.FILE`, "stated rate",
    or "as fz_resnet50" for a network of the user's own that was not timed.
    """

    recipe: str
    removal: str
    models: int
    seconds: float  # per model
    basis: str
    start_up: float = 0  # seconds, of all jobs

    @property
    def hours(self) -> float:
        """Device hours of all its models and of the start of its jobs."""
        return (self.models * self.seconds + self.start_up) / 3600


@dataclass(frozen=True)
class JobCost:
    """What a training job requests from a cluster: run time in minutes, memory in MB."""

    minutes: int
    memory_mb: int
    seconds_per_model: float


@dataclass(frozen=True)
class SweepCost:
    """What a sweep trains in addition to the study; `lacks` if it cannot be run."""

    name: str
    models: int
    hours: float  # device hours
    lacks: str = ""


@dataclass(frozen=True)
class RemoteFile:
    """A remote file that the study needs; `size` in bytes, None if unknown."""

    path: str
    is_present: bool
    size: int | None


def this_machine(device: str) -> Machine:
    """Return the machine as training sees it; `device` is `training.device`.

    torch is asked, in another process, where there may be a GPU.
    """
    problem = ""
    if device == "cuda" or (device == "auto" and may_have_gpu()):
        gpus = visible_gpus()
        if gpus.usable:
            return Machine("gpu", len(gpus.usable))
        problem = refusal(device, gpus)
    return Machine("cpu", usable_cores(), problem)


@cache
def job_cost(study: Study, kind: Kind, arm: tuple[str, str], models: int) -> JobCost:
    """Return what a job that trains `models` models of an arm on one GPU or CPU core requests.

    Four times the estimated time plus ten minutes: a job that takes longer is killed and resumes
    when it is retried. Memory for torch, and for three copies of the images.
    """
    cost = part(study, Machine(kind, 1), arm, models)
    images = known(study.dataset, study.config.dataset)
    values = 3 * images.n_train * images.side**2
    memory = 2000 + (4000 if kind == "gpu" else 0) + 3 * values / 1e6
    return JobCost(10 + math.ceil(4 * 60 * cost.hours), math.ceil(memory), cost.seconds)


def size_jobs(study: Study, machine: Machine) -> None:
    """Choose the models per job of every recipe for which `study.jobs` records none.

    Those of existing shards, so that these keep their names; else as many as the estimate and the
    number of workers suggest.
    """
    for recipe in study.recipes.keys() - study.jobs.keys():
        folder = Path(study.results) / "models" / recipe
        shards = [*folder.glob("*/*.h5"), *folder.glob("*/.*.partial")]
        named = [TRIALS.fullmatch(path.stem.lstrip(".")) for path in shards]
        sizes = [int(name[2]) - int(name[1]) + 1 for name in named if name and name[2]]
        counts = [count for (of, _), count in study.models.items() if of == recipe]
        most = math.ceil(max(counts, default=study.config.sweeps.trials) / machine.workers)
        seconds = seconds_per_model(study, machine.kind, (recipe, "none"))[0]
        study.jobs[recipe] = max(sizes, default=max(1, min(most, round(JOB / max(seconds, 0.1)))))


def part(study: Study, machine: Machine, arm: tuple[str, str], models: int) -> Part:
    """Return the cost of `models` models of an arm (recipe, removal)."""
    seconds, basis = seconds_per_model(study, machine.kind, arm)
    start_up = START_UP[machine.kind] * math.ceil(models / study.models_per_job(arm[0]))
    return Part(*arm, models, seconds, basis, start_up)


def shard_bytes(study: Study, models: int, subset_models: int = 0) -> int:
    """Return the disk space of `models` models, of which `subset_models` may keep margins.

    One bit per example and array; margins and log-odds take two bytes each.
    """
    n = known(study.dataset, study.config.dataset).n_train
    margins = subset_models if study.config.memorization.store_margins else 0
    return models * ((2 * n + n // 5) // 8 + 4096) + margins * 4 * (n + n // 5)


def estimate(study: Study, machine: Machine, models: Mapping[tuple[str, str], int]) -> list[Part]:
    """Return the cost of a number of models of each arm."""
    return [part(study, machine, arm, count) for arm, count in models.items()]


def sweep_costs(study: Study, machine: Machine) -> list[SweepCost]:
    """Return what each sweep trains in addition to the study, then all of them together."""
    costs: list[SweepCost] = []
    together: Counter[tuple[str, str]] = Counter()
    for sweep in study.sweeps.values():
        if sweep.lacks:
            costs.append(SweepCost(sweep.name, 0, 0, sweep.lacks))
            continue
        needed = Counter({a: study.n_models(*a) for a in sweep.arms if a not in study.models})
        together |= needed
        costs.append(_sweep_cost(study, machine, sweep.name, needed))
    return [*costs, _sweep_cost(study, machine, "sweeps", together)]


def _sweep_cost(
    study: Study, machine: Machine, name: str, needed: Counter[tuple[str, str]]
) -> SweepCost:
    hours = sum(p.hours for p in estimate(study, machine, needed))
    return SweepCost(name, needed.total(), hours)


def remote_files(study: Study) -> list[RemoteFile]:
    """Return the remote files that the study needs."""
    found = []
    for path, name in study.needed_files.items():
        is_present = Path(path).exists()
        size = Path(path).stat().st_size if is_present else study.remote_files[name].size
        found.append(RemoteFile(path, is_present, size))
    return found


def render_cost(study: Study, machine: Machine) -> str:
    """Return the cost of the study as text."""
    size_jobs(study, machine)
    parts = estimate(study, machine, study.models)
    models, hours = sum(p.models for p in parts), sum(p.hours for p in parts)
    unit, per_hour = shown_in(machine, hours)
    subset_models = sum(p.models for p in parts if p.removal == "subset")
    on_gpu = estimate(study, Machine("gpu", 1), study.models)
    gpu_hours = sum(p.hours for p in on_gpu)
    return render(
        "cost.txt",
        parts=parts,
        machine=machine,
        models=models,
        hours=hours,
        duration=duration(hours / machine.workers),
        unit=unit,
        per_hour=per_hour,
        gpu_hours=gpu_hours,
        gpu_duration=duration(gpu_hours),
        gpu_measured={p.basis for p in on_gpu} <= {"measured", TIMED},
        disk=shard_bytes(study, models, subset_models),
        empty=_empty_removals(study),
        warnings=[trained.reread(study), trained.replaced(study, study.shards_of(study.models))],
        bare=trained.without_margins(study, _existing(study)),
        stated=sorted({p.basis for p in parts} - {"measured", TIMED}),
        rates=rates.FILE if TIMED in {p.basis for p in parts} else None,
    )


def _existing(study: Study) -> list[str]:
    """Return the shards of subset models that exist."""
    shards = study.shards_of(arm for arm in study.models if arm[1] == "subset")
    return [path for path in shards if Path(path).exists()]


def _empty_removals(study: Study) -> list[str]:
    """Return the removals whose list exists and names no example."""
    lists = {removal: study.removal_list(removal) for _, removal in study.models}
    return [
        removal
        for removal, listed in lists.items()
        if listed and not removal.startswith(CONTROL)
        if Path(str(listed)).exists() and not len(read_examples(str(listed)))
    ]


def render_extras(study: Study, machine: Machine) -> str:
    """Return the cost of the sweeps, and the downloads, as text."""
    costs = [(c, duration(c.hours / machine.workers)) for c in sweep_costs(study, machine)]
    unit, per_hour = shown_in(machine, max((c.hours for c, _ in costs), default=0))
    files = remote_files(study)
    return render("extras.txt", sweeps=costs, files=files, unit=unit, per_hour=per_hour)


def shown_in(machine: Machine, hours: float) -> tuple[str, int]:
    """Return the unit for a table of such a total of hours, and how many of it an hour has."""
    return (machine.hours, 1) if hours >= 2 else (machine.hours.replace("hours", "minutes"), 60)


def duration(hours: float) -> str:
    """Return a number of hours in a unit that suits it."""
    if 3600 * hours < 90:
        return f"about {max(10, 10 * round(360 * hours))} seconds"
    if hours < 1:
        return f"about {round(60 * hours)} minutes"
    return f"about {hours:.1f} hours" if hours < 48 else f"about {hours / 24:,.0f} days"


def too_long(study: Study, machine: Machine, parts: list[Part]) -> str | None:
    """Return the error message of a run longer than `training.max_hours`, or None."""
    limit = study.config.training.max_hours
    hours = sum(p.hours for p in parts) / machine.workers
    if limit is None or hours <= limit:
        return None
    how = "--gpu" if machine.kind == "gpu" else "--cpu"
    assumed = (
        f"; a network of your own is assumed to be as slow as {SLOWEST} until `memaudit doctor "
        f"{how} --configfile <your files>` measures it"
    )
    return (
        f"training.max_hours = {limit}: this run would train {sum(p.models for p in parts):,} "
        f"models, {duration(hours)} on this machine ({machine}). `memaudit plan` shows the "
        "estimate. To run it anyway, set training.max_hours to null or to more hours; on a cluster "
        "there is no such limit" + (assumed if ASSUMED in {p.basis for p in parts} else "")
    )
