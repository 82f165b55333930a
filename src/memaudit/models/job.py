"""A job of training: the models of one (recipe, removal) for a range of trials, into one shard.

Finished models are kept beside the shard until it is whole, so a killed job goes on where it was,
and models that another shard of the same removal already holds are taken from there: raising the
number of models or changing `models_per_job` trains only what is new.
"""

import json
import os
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

import memaudit
from memaudit import bits, store
from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError, Stopped
from memaudit.models import locks, networks
from memaudit.models.checkpoint import Checkpoint, until_sigterm
from memaudit.models.device import choose_device, describe
from memaudit.models.loaders import choose_loader
from memaudit.models.recipe import Recipe
from memaudit.models.shards import Row, partial_folder, write_shard
from memaudit.models.step import Step
from memaudit.models.training import TrainedModel, train_model

PATIENCE = 1800.0  # seconds without a sign of life from whoever trains the same shard
PER_MODEL = [name for name in store.SHARD if name != "trial"]


def train_shard(
    path: str | Path,
    dataset: Dataset,
    recipe_name: str,
    recipe: Recipe,
    removal: str,
    masks: dict[int, np.ndarray],
    seed: int,
    device: str = "auto",
    loader: str = "resident",
    beton: str | Path = "images.beton",
    test_every: int = 0,
    minutes: float = 5.0,
    report: Callable[[str], None] = print,
    cuda_graphs: bool = True,
    processes_per_gpu: int = 1,
) -> None:
    """Train the models of `masks` (trial -> training mask, bool (n_train,)) and write their shard.

    `path` is `.../<recipe>/<removal>/<first>-<last>.h5`. `test_every` is that of `train_model`;
    models of the removal "subset", many, are evaluated at their end only: nobody looks at their
    curves. `loader` and `beton` are those of
    `memaudit.models.loaders.choose_loader`. `minutes` of training at most are lost when the job is
    killed (at an epoch's end), none on SIGTERM if an epoch ends in time: Stopped is raised.
    `report` is given a line of text as the work goes on. `cuda_graphs` is `Step`'s `graph`,
    `processes_per_gpu` as for `choose_device`.

    A model is the same if its recipe, seed, dataset, trial and mask are: such a model is never
    trained twice while a file that holds it is there. A second process that is given the same
    shard waits for the first and takes over what that made.
    """
    path = Path(path)
    identity = json.dumps(
        {"recipe": recipe.settings(), "seed": seed, "dataset": dataset.digest()}, sort_keys=True
    )
    attributes = {
        "identity": identity,
        "recipe_name": recipe_name,
        "removal": removal,
        "n_train": dataset.n_train,
        "n_test": dataset.n_test,
        "memaudit": memaudit.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
    name = f"recipe {recipe_name}, removal {removal}"
    partial = partial_folder(path)
    lock = partial / "lock"
    with (
        until_sigterm() as stopping,
        locks.alone(lock, _this_process(), PATIENCE, report, stopping) as live,
    ):
        rows, devices = _finished(path, identity, masks)
        missing = [trial for trial in masks if trial not in rows]
        if rows:
            report(f"{name}: {len(rows)} of {len(masks)} models were trained before")
        if missing:
            where = choose_device(device, report, processes_per_gpu)
            devices.add(describe(where))
            attributes["device"] = describe(where)
            _check_size(dataset, recipe, name)
            examples = f"{int(masks[missing[0]].sum()):,} of {dataset.n_train:,} examples"
            report(
                f"{name}: training {len(missing)} models ({recipe.network}, {examples}, "
                f"{recipe.epochs} epochs) on {attributes['device']}, {_this_process()}"
            )
            feed = choose_loader(loader, dataset, recipe.crop_padding, where, beton)
            step = Step(recipe, len(dataset.class_names), where, cuda_graphs)
        for trial in missing:
            if stopping():
                raise Stopped(
                    f"asked to end (SIGTERM): {len(rows)} of {len(masks)} models are kept"
                )
            checkpoint = Checkpoint(
                partial / f"{trial:06d}.pt", identity, masks[trial], minutes, stopping, live, report
            )
            model = train_model(
                feed,
                recipe,
                masks[trial],
                len(dataset.class_names),
                seed,
                trial,
                0 if removal == "subset" else test_every,
                name,
                checkpoint,
                step,
            )
            rows[trial] = _row(model, trial, masks[trial])
            write_shard(partial / f"{trial:06d}.h5", attributes, [rows[trial]])
            checkpoint.path.unlink(missing_ok=True)
            report(
                f"{name}: trial {trial}, {len(rows)} of {len(masks)} models, test accuracy "
                f"{100 * model.test_correct.mean():.2f} %, {model.seconds:.1f} s"
            )
        attributes["device"] = "; ".join(sorted(devices))
        write_shard(path, attributes, [rows[trial] for trial in masks])
        seconds = sum(float(row["seconds"]) for row in rows.values())
        right = np.stack([row["test_correct"] for row in rows.values()])
        accuracy = bits.unpack(right, dataset.n_test).mean()
        report(
            f"{name}: {len(rows)} models, mean test accuracy {100 * accuracy:.2f} %, "
            f"{seconds:.1f} s of training"
        )
        shutil.rmtree(partial, ignore_errors=True)


def _this_process() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    where = f"process {os.getpid()} on {platform.node()}"
    return f"Slurm job {job}, {where}" if job else where


def _check_size(dataset: Dataset, recipe: Recipe, name: str) -> None:
    smallest = networks.SMALLEST.get(recipe.network, 1)
    side = min(dataset.train_images.shape[1:3])
    if side < smallest:
        raise AuditError(
            f"{name}: the network {recipe.network} needs images of {smallest} pixels or more; "
            f"these have {side}. Take another network or size"
        )


def _row(model: TrainedModel, trial: int, mask: np.ndarray) -> Row:
    return {
        "trial": np.int64(trial),
        "train_mask": bits.pack(mask),
        "train_correct": bits.pack(model.train_correct),
        "test_correct": bits.pack(model.test_correct),
        "rate": model.rate,
        "loss": model.loss,
        "train_accuracy": model.train_accuracy,
        "test_accuracy": model.test_accuracy,
        "seconds": np.float64(model.seconds),
    }


def _finished(
    path: Path, identity: str, masks: dict[int, np.ndarray]
) -> tuple[dict[int, Row], set[str]]:
    """The models of `masks` that were trained before, and on what devices.

    In this shard or others, whole or partial.
    """
    first, last = min(masks), max(masks)
    sources = []
    for folder in {path.parent, path.parent.parent / "none"}:  # an empty list removes none
        for other in [*folder.glob("*.h5"), *folder.glob(".*.partial/*.h5")]:
            found = re.fullmatch(r"(\d+)(?:-(\d+))?", other.stem)
            if found and int(found[1]) <= last and int(found[2] or found[1]) >= first:
                sources.append(other)
    rows: dict[int, Row] = {}
    devices: set[str] = set()
    for source in sorted(sources):
        try:
            with store.reading(source, store.SHARD) as file:
                if file.attrs.get("identity") == identity and (found := _wanted(file, masks)):
                    rows |= found
                    devices.update(file.attrs.get("device", "not recorded").split("; "))
        except AuditError:
            continue  # damaged: its models are trained again
    return rows, devices


def _wanted(file: h5py.File, masks: dict[int, np.ndarray]) -> dict[int, Row]:
    rows = {}
    trials, kept = file["trial"][:], file["train_mask"][:]
    for at, trial in enumerate(trials.tolist()):
        if trial in masks and np.array_equal(kept[at], bits.pack(masks[trial])):
            rows[trial] = {name: file[name][at] for name in PER_MODEL} | {"trial": trials[at]}
    return rows
