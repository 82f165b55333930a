"""Estimate how long a model takes to train: by models of the study, measured or stated rates."""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from memaudit import store
from memaudit.errors import AuditError
from memaudit.study import rates
from memaudit.study.images import known
from memaudit.study.study import Study
from memaudit.study.trained import identity_of

Kind = Literal["cpu", "gpu"]

# Training throughput in images per second at 32 x 32 pixels (scaled by area), forward and backward.
# CPU: measured in float32, one thread of a 2-core Xeon (small: in bfloat16, of a 2-core EPYC with
# AVX512-BF16). GPU: an H200 in bfloat16; fz_resnet50 and resnet9 measured
# (benchmarks/results/gpu), resnet50 taken as the former, small and tiny as the latter; resnet18
# not measured: the same part of its limit by memory traffic as resnet9.
IMAGES_PER_SECOND: dict[Kind, dict[str, float]] = {
    "cpu": {
        "fz_resnet50": 12,
        "resnet50": 12,
        "resnet18": 32,
        "resnet9": 76,
        "small": 1_100,
        "tiny": 9_900,
    },
    "gpu": {
        "fz_resnet50": 17_000,
        "resnet50": 17_000,
        "resnet18": 58_000,
        "resnet9": 120_000,
        "small": 120_000,
        "tiny": 120_000,
    },
}
TIMED = "timed"
SLOWEST = "fz_resnet50"  # a network of the user's own is assumed to take as long, until it is timed
ASSUMED = f"as {SLOWEST}"
EVALUATED = 1 / 3  # what evaluating an image takes of training on it: one pass of about three
# times that a GPU takes in other precisions: the ratios of resnet9 and fz_resnet50 on an H200
SLOWER = {"bfloat16": 1.0, "tf32": 1.6, "float32": 8.0}
STEP = 0.25e-3  # seconds of a step on a GPU, at least: it launches about a hundred kernels


@dataclass(frozen=True, kw_only=True)
class Training:
    """What one model takes: a network, `images` (examples x epochs) of `side` pixels, `steps`.

    `evaluated` images are only passed through the network.
    """

    network: str
    side: int
    images: float
    steps: float
    precision: str = "float32"
    evaluated: float = 0

    @property
    def work(self) -> float:
        """Images to train on that take as long."""
        return self.images + EVALUATED * self.evaluated


def seconds_per_model(study: Study, kind: Kind, arm: tuple[str, str]) -> tuple[float, str]:
    """Return what a model of an arm (recipe, removal) takes, and the basis of this estimate.

    From the mean time of models of that recipe, as it is configured now, already trained on such a
    device, of the same removal if there are any, else from the rate of the network: that which was
    measured here, or the stated one.
    """
    recipe, removal = arm
    for pattern in (f"{removal}/*.h5", "*/*.h5"):
        if (measured := _measured(study, kind, arm, pattern)) is not None:
            return measured, "measured"
    if recipe not in study.config.recipes:  # of a sweep: differs from weight_decay in its value
        return seconds_per_model(study, kind, ("weight_decay", removal))
    images, every = known(study.dataset, study.config.dataset), study.config.training.test_every
    wanted = study.config.recipes[recipe]
    curve = wanted.epochs // every if every and removal != "subset" else 0
    examples = images.n_train * (
        study.config.memorization.subset_fraction if removal == "subset" else 1
    )
    training = Training(
        network=wanted.network,
        side=images.side,
        images=examples * wanted.epochs,
        steps=wanted.epochs * max(1, examples // wanted.batch_size),
        precision=wanted.precision,
        evaluated=images.n_train + images.n_test * max(1, curve),
    )
    basis = "stated rate" if wanted.network in IMAGES_PER_SECOND["cpu"] else ASSUMED
    if rates.find(kind, wanted.network, wanted.precision):
        basis = TIMED
    return stated_seconds(kind, training), basis


def time_own_networks(study: Study, kind: Kind) -> None:
    """Measure the rates of networks of the user's own of which nothing is known yet.

    In another process, as this takes torch. Without torch they are assumed to be slow. Raises
    AuditError for a network that cannot be imported, built or trained.
    """
    recipes = dict.fromkeys(recipe for recipe, _ in study.models)
    unknown = {
        study.recipes[recipe]["network"]: recipe
        for recipe in recipes
        if seconds_per_model(study, kind, (recipe, "none"))[1] == ASSUMED
    }
    if not unknown:
        return
    print(f"Timing {', '.join(unknown)} for some seconds ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "memaudit.cli.measure", kind, *unknown.values()]
    done = subprocess.run(
        command, input=json.dumps(study.settings), stderr=subprocess.PIPE, text=True, check=False
    )
    last = next(iter(done.stderr.strip().splitlines()[-1:]), "")
    if done.returncode > 0 and find_spec("torch"):
        raise AuditError(f"the network could not be timed: {last}")
    if done.returncode:
        print(f"It could not be timed: {last}", file=sys.stderr)
    elif last:
        print(f"{last}; kept in {rates.FILE}", file=sys.stderr)
    rates.reread()


def stated_seconds(kind: Kind, training: Training) -> float:
    """Return the seconds that a model takes by the rates measured here, or the stated ones."""
    if measured := rates.find(kind, training.network, training.precision):
        area = (training.side / measured.side) ** 2
        return training.work * area / measured.images_per_second
    stated = IMAGES_PER_SECOND[kind]
    rate = stated.get(training.network, stated[SLOWEST]) * (32 / training.side) ** 2
    if kind == "cpu":
        return training.work / rate
    rate /= SLOWER[training.precision]
    return max(training.work / rate, STEP * training.steps)


def _measured(study: Study, kind: Kind, arm: tuple[str, str], pattern: str) -> float | None:
    """Return the mean seconds per model of a few shards of a recipe; None if there are none.

    Only models of the present recipe count, trained on such a device. Those of the subsets are
    trained on a fraction of the examples: times of others are scaled by it.
    """
    shards = sorted((Path(study.results) / "models" / arm[0]).glob(pattern))
    if not shards or not Path(study.digest).exists():
        return None
    fraction = study.config.memorization.subset_fraction
    examples = {
        identity_of(study, arm[0], "none"): 1.0,
        identity_of(study, arm[0], "subset"): fraction,
    }
    wanted = fraction if arm[1] == "subset" else 1.0
    seconds: list[float] = []
    for path in shards[:20]:
        try:
            with store.reading(path, store.SHARD) as file:
                trained_on = examples.get(file.attrs.get("identity"))
                devices = file.attrs.get("device", "not recorded").split("; ")
                kinds = {"cpu" if name.startswith("CPU") else "gpu" for name in devices}
                if trained_on and "not recorded" not in devices and kinds == {kind}:
                    seconds += (file["seconds"][:] * wanted / trained_on).tolist()
        except AuditError:
            continue
    return sum(seconds) / len(seconds) if seconds else None
