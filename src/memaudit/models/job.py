"""A training job: the models of one recipe and removal for a range of trials, into one shard.

Finished models are kept beside the shard until it is complete, so a killed job resumes where it
was, and models that another shard of the same removal holds are taken from there: raising the
number of models or changing `models_per_job` trains only what is new.
"""

import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import memaudit
from memaudit import bits, store
from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError, Stopped
from memaudit.models import locks, networks
from memaudit.models.checkpoint import Checkpoint, until_sigterm
from memaudit.models.device import choose_device, describe, enough_memory
from memaudit.models.identity import model_identity
from memaudit.models.loaders import choose_loader
from memaudit.models.network_names import network_source
from memaudit.models.recipe import Recipe
from memaudit.models.removals import smallest_subset
from memaudit.models.resident_loader import as_tensor, to_network
from memaudit.models.shards import PER_MODEL, Row, find_models, partial_folder, write_shard
from memaudit.models.step import Step
from memaudit.models.training import ModelJob, TrainedModel, train_model

PATIENCE = 1800.0  # seconds for which another process that trains the same shard may be silent


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """The models of one shard: a training mask, bool (n_train,), for each trial.

    `path` is `.../<recipe>/<removal>/<first>-<last>.h5`. `seed` is the study's. `subset_fraction`
    is the fraction that the removal "subset" keeps; other removals ignore it. `margins` keeps the
    margins and log-odds of all examples of the models trained; `needs_margins` also trains models
    again that were trained without. Margins of models that are found are always kept.
    """

    path: str | Path
    recipe_name: str
    recipe: Recipe
    removal: str
    masks: Mapping[int, np.ndarray]
    seed: int
    subset_fraction: float | None = None
    margins: bool = False
    needs_margins: bool = False

    @property
    def name(self) -> str:
        return f"recipe {self.recipe_name}, removal {self.removal}"

    def size(self, n_train: int) -> int | None:
        """Return the examples that decide the steps of an epoch: the same for all subset models."""
        if self.removal != "subset" or self.subset_fraction is None:
            return None
        return smallest_subset(n_train, self.subset_fraction)

    def identity(self, dataset: Dataset) -> str:
        """Return the identity of the models (see `memaudit.models.identity`)."""
        is_subset = self.removal == "subset"
        if is_subset and self.subset_fraction is None:
            raise ValueError("the removal subset needs subset_fraction")
        return model_identity(
            self.recipe,
            seed=self.seed,
            dataset=dataset.digest(),
            network_source=network_source(self.recipe.network),
            subset_fraction=self.subset_fraction if is_subset else None,
        )


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to train; none of it changes what a model learns, but for rounding.

    `device` and `processes_per_gpu` are those of `choose_device`, `loader` and `beton` those of
    `choose_loader`, `cuda_graphs` is the `graph` of `Step`. `test_every` is that of `ModelJob`;
    models of the removal "subset" are evaluated after the last epoch only. A killed job loses at
    most `checkpoint_minutes` of training, or an epoch where that takes longer.
    """

    device: str = "auto"
    loader: str = "resident"
    beton: str | Path = "images.beton"
    test_every: int = 0
    checkpoint_minutes: float = 5.0
    cuda_graphs: bool = True
    processes_per_gpu: int = 1


def train_shard(
    dataset: Dataset,
    job: ShardJob,
    options: TrainingOptions,
    report: Callable[[str], None] = print,
) -> None:
    """Train the models of `job` on `dataset` and write their shard.

    `report` is called with a line of text as the work proceeds. A model whose identity, trial and
    mask are found in another shard is taken from there. A second process with the same job waits
    for the first and takes over what that trained.

    Raises Stopped after SIGTERM, AuditError when training is impossible or diverges.
    """
    path = Path(job.path)
    identity = job.identity(dataset)
    attributes = {
        "identity": identity,
        "recipe_name": job.recipe_name,
        "removal": job.removal,
        "n_train": dataset.n_train,
        "n_test": dataset.n_test,
        "memaudit": memaudit.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    partial = partial_folder(path)
    with (
        until_sigterm() as stopping,
        locks.exclusive(
            partial, _this_process(), patience=PATIENCE, report=report, stopping=stopping
        ) as heartbeat,
    ):
        found, origins = find_models(path, identity, job.masks, PER_MODEL + store.MARGINS, report)
        bare = [trial for trial, row in found.items() if store.MARGINS[0] not in row]
        again = bare if job.needs_margins else []
        if again:
            report(
                f"{job.name}: {len(again)} models were trained without keeping margins, which "
                "memorization.store_margins = true asks for; they are trained again"
            )
        rows = {trial: row for trial, row in found.items() if trial not in again}
        devices = {name for trial in rows for name in origins[trial].split("; ")}
        missing = [trial for trial in job.masks if trial not in rows]
        if rows:
            report(f"{job.name}: {len(rows)} of {len(job.masks)} models found, not trained again")
        if missing:
            device = choose_device(options.device, report, options.processes_per_gpu, stopping)
            examples = int(job.masks[missing[0]].sum())
            report(
                f"{job.name}: training {len(missing)} models ({job.recipe.network}, "
                f"{examples:,} of {dataset.n_train:,} examples, {job.recipe.epochs} epochs, "
                f"{job.recipe.precision}) on {describe(device)}, {_this_process()}"
            )
            with enough_memory(job.name, job.recipe, device):
                loader = choose_loader(
                    options.loader, dataset, job.recipe.crop_padding, device, options.beton
                )
                step = _step(job, dataset, device, options.cuda_graphs)
        for trial in missing:
            if stopping():
                raise Stopped(f"stopped by SIGTERM; {len(rows)} of {len(job.masks)} models saved")
            checkpoint = Checkpoint(
                partial / f"{trial:06d}.pt",
                identity,
                job.masks[trial],
                device=describe(device),
                minutes=options.checkpoint_minutes,
                stopping=stopping,
                heartbeat=heartbeat,
                report=report,
            )
            model_job = ModelJob(
                seed=job.seed,
                trial=trial,
                mask=job.masks[trial],
                name=job.name,
                test_every=0 if job.removal == "subset" else options.test_every,
                size=job.size(dataset.n_train),
                margins=job.margins,
            )
            with enough_memory(job.name, job.recipe, device):
                model = train_model(loader, step, model_job, checkpoint)
            rows[trial] = _row(model, model_job)
            attributes["device"] = "; ".join(dict.fromkeys(checkpoint.devices))
            devices.update(checkpoint.devices)
            write_shard(partial / f"{trial:06d}.h5", attributes, [rows[trial]])
            checkpoint.path.unlink(missing_ok=True)
            report(
                f"{job.name}: trial {trial}, {len(rows)} of {len(job.masks)} models, test accuracy "
                f"{100 * model.test_correct.mean():.2f}%, {model.seconds:.1f} s"
            )
        attributes["device"] = "; ".join(sorted(devices))
        write_shard(path, attributes, [rows[trial] for trial in job.masks])
        seconds = sum(float(row["seconds"]) for row in rows.values())
        packed = np.stack([row["test_correct"] for row in rows.values()])
        accuracy = bits.unpack(packed, dataset.n_test).mean()
        report(
            f"{job.name}: {len(rows)} models, mean test accuracy {100 * accuracy:.2f}%, trained in "
            f"{seconds:.1f} s"
        )
        shutil.rmtree(partial, ignore_errors=True)


def _step(job: ShardJob, dataset: Dataset, device: torch.device, cuda_graphs: bool) -> Step:
    """Build the job's step, after checking that its network fits the images."""
    classes = len(dataset.class_names)
    try:
        step = Step(job.recipe, classes, device, cuda_graphs)
        images = to_network(as_tensor(dataset.train_images[:2]).to(device))
        networks.check(job.recipe.network, step.network, classes, images)
    except AuditError as error:
        raise AuditError(f"recipe {job.recipe_name}: {error}") from error
    return step


def _this_process() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    where = f"process {os.getpid()} on {platform.node()}"
    return f"Slurm job {job}, {where}" if job else where


def _row(model: TrainedModel, job: ModelJob) -> Row:
    return {
        "trial": np.int64(job.trial),
        "train_mask": bits.pack(job.mask),
        "train_correct": bits.pack(model.train_correct),
        "test_correct": bits.pack(model.test_correct),
        "rate": model.rate,
        "loss": model.loss,
        "train_accuracy": model.train_accuracy,
        "test_accuracy": model.test_accuracy,
        "seconds": np.float64(model.seconds),
        **model.margins,
    }
