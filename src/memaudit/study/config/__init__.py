"""The configuration of a study: its keys, what they may be, and what an edit of each rebuilds."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from memaudit.models.network_names import NETWORKS
from memaudit.study.config.dataset import Dataset
from memaudit.study.config.section import Location, Name, Section, Unique, key, rebuilds, text
from memaudit.study.config.selection import (
    Duplicates,
    Memorization,
    Review,
    Selection,
    Subpopulations,
)

# Removals that the study defines itself; WEIGHT_DECAY and ABOVE begin the names of those of sweeps,
# TOP those of the lists of external scores.
LISTED = ("selected", "leakage_shift", "memorized")
TOP = "top_"
WEIGHT_DECAY, ABOVE = "weight_decay_", "above_"


class Recipe(Section):
    """How a model is trained."""

    model_config = rebuilds("models of that recipe and everything after them")

    network: Annotated[
        str,
        Field(
            pattern=rf"^({'|'.join(NETWORKS)}|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
            json_schema_extra={
                "allowed": f"one of {', '.join(NETWORKS)}, or package.module:function"
            },
        ),
    ] = key(
        "`fz_resnet50` (F&Z's, pre-activation), `resnet50`, `resnet18` (torchvision's, with a "
        "CIFAR stem), `resnet9`, `small` (for CIFAR on a CPU), `tiny`, or a function of your own "
        "that builds a network, `package.module:function`."
    )
    epochs: int = key("Passes over the training examples.", ge=1, le=100_000)
    batch_size: int = key(
        "Images per step; the incomplete batch at the end of an epoch is dropped.",
        ge=2,
        le=1_000_000,
    )
    learning_rate: float = key("Peak of the triangular schedule.", gt=0)
    warmup: float = key(
        "Fraction of the steps in which the learning rate rises to its peak.", ge=0, lt=1
    )
    momentum: float = key("Momentum of SGD.", ge=0, lt=1)
    weight_decay: float = key(
        "Weight decay of SGD, on all parameters. The paper does not state its value.", ge=0
    )
    crop_padding: int = key(
        "Zero-padding in pixels before a random crop; 0: no crop.", ge=0, le=256
    )
    mirror: bool = key("Flip images horizontally at random.")
    precision: Literal["float32", "tf32", "bfloat16"] = key(
        "Precision of convolutions and matrix products; weights, updates and loss are always "
        "float32. `tf32` rounds their inputs (GPUs of compute capability 8.0 or later); `bfloat16` "
        "is torch's autocast, faster on GPUs that support it, slower on most CPUs."
    )


class Statistics(Section):
    """The statistics of Table 2."""

    model_config = rebuilds("Table 2, claims, summary, figures; sweeps when requested")

    margin: float = key(
        "Equivalence margin, pp: a removal is equivalent to its random control if a test at the 5% "
        "level shows that the excess drop is smaller in either direction (`p_equivalence`).",
        0.25,
        gt=0,
        le=100,
    )
    bootstrap: int = key(
        "Draws of models and test images for the bootstrap intervals. At 2,000 the bounds are "
        "accurate to about 6% of a standard error.",
        2000,
        ge=200,
        le=100_000,
    )


class Plan(Section):
    """The precision for which `snakemake plan` computes numbers of models."""

    model_config = rebuilds("nothing")

    drop: float = key(
        "Half-width of the 95% CI of a drop, and the drop to detect with 80% power, pp.",
        0.1,
        gt=0,
        le=100,
    )
    memorization: float = key("Half-width of the 95% CI of a memorization score.", 0.05, gt=0, le=1)


class Sweeps(Section):
    """Sweeps; targets of their own: `snakemake weight_decay threshold_curve`."""

    weight_decay: Annotated[list[Annotated[float, Field(ge=0)]], Unique] = key(
        "Values of weight decay; the other settings are those of the recipe `weight_decay`. A "
        "value that a configured recipe has reuses its models. [Sweeps](../docs/sweeps.md).",
        [0.0, 0.0001, 0.0003, 0.0005, 0.001, 0.002],
        rebuilds="models of the new values, that sweep",
        min_length=1,
    )
    thresholds: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Unique] = key(
        "Memorization thresholds; for each, all examples at or above it are removed.",
        [0.1, 0.25, 0.4, 0.55, 0.7, 0.85],
        rebuilds="models of the new thresholds, that sweep",
        min_length=1,
    )
    recipes: Annotated[list[str], Unique] = key(
        "Recipes of the sweep over thresholds; names under `recipes`.",
        ["original", "weight_decay"],
        rebuilds="models of the new recipes, that sweep",
        min_length=1,
    )
    trials: int = key(
        "Models per arm of a sweep; an arm that is also in Table 2 has `trials`.",
        20,
        rebuilds="the new models, the sweeps",
        ge=1,
        le=1_000_000,
    )


class Training(Section):
    """Speed and bookkeeping; no result depends on it."""

    model_config = rebuilds("nothing")

    models_per_job: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"] = key(
        "Models that one job trains, one after the other, in one process. `auto`: as many as take "
        "about half an hour by the estimate, for each recipe, and few enough that all GPUs or "
        "cores of this machine have work. The first run that trains records the numbers in "
        "`models_per_job.json` of the results folder; delete it to choose them again. 1 where the "
        "study is a module of another workflow.",
        "auto",
        rebuilds="nothing is retrained; new jobs take over the models",
    )
    device: Literal["auto", "cpu", "cuda"] = key("`auto`: the GPU if there is one.", "auto")
    processes_per_gpu: int = key(
        "Training jobs that share a GPU of this machine; one small network does not use a GPU "
        "fully, and `benchmarks/gpu` measures how many help ([MPS](../docs/training.md#devices)). "
        "`snakemake plan` ignores it. A Slurm "
        "job always trains alone on its GPU. `--resources gpu=N` limits the jobs on all GPUs "
        "together.",
        1,
        ge=1,
        le=64,
    )
    cuda_graphs: bool = key(
        "On a GPU: `true` captures the training step in a CUDA graph; `false` launches each "
        "kernel, for GPUs or drivers on which graphs fail.",
        True,
    )
    loader: Literal["auto", "resident", "ffcv"] = key(
        "`resident`: images are kept on the training device; `ffcv`: FFCV reads them (`make "
        ".venv/ffcv` installs it); `auto`: resident if they fit in a quarter of the free memory. "
        "The batches are identical.",
        "auto",
    )
    max_hours: float | None = key(
        "A run that is estimated to take longer on this machine stops before it trains. `null`: "
        "no limit. Clusters have no limit.",
        24.0,
        gt=0,
    )
    checkpoint_minutes: float = key(
        "Minutes between checkpoints of the model in training, taken at the end of an epoch: the "
        "most that a killed job loses. On SIGTERM (time limit, preemption) a job also saves at "
        "the end of the epoch. 0: after every epoch.",
        5.0,
        ge=0,
    )
    test_every: int = key(
        "Epochs between evaluations on the test set for the learning curves; 0: after the last "
        "only. Subset models are evaluated after the last epoch. Trained models keep their curves.",
        10,
        ge=0,
        le=100_000,
    )


_FZ = {
    "network": "fz_resnet50",
    "epochs": 160,
    "batch_size": 512,
    "learning_rate": 0.4,
    "warmup": 0.15,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "crop_padding": 4,
    "mirror": True,
    "precision": "float32",
}
PAPER_RECIPES = {"original": _FZ, "weight_decay": _FZ | {"weight_decay": 0.0005}}


class Config(Section):
    """Configuration of a memorization audit. The defaults are the paper's study."""

    results: Annotated[
        str,
        text(
            "^[A-Za-z0-9._-][A-Za-z0-9._/-]*$",
            200,
            "a relative path of letters, digits and ._- only, with / between folders, no blanks",
        ),
    ] = key(
        "Folder for the results, relative to the working folder. It belongs to one dataset "
        "(named in `dataset.txt`); a study of another dataset is refused, and so are other images "
        "of the same name until `models` in it is deleted. Models of other recipes are replaced; "
        "a dry run, `memaudit plan` and the start of a run say how many.",
        "results",
        rebuilds="everything but the dataset",
    )
    mirror: str | None = key(
        "Folder in which remote files are looked for, by name and checksum, before they are "
        "downloaded. `null`: the folder that the environment variable `MEMAUDIT_MIRROR` names.",
        None,
        rebuilds="nothing",
    )
    seed: int = key(
        "Seed of everything random: subsets, initial weights, order, augmentation, controls, "
        "synthetic images.",
        0,
        rebuilds="everything",
        ge=0,
    )
    dataset: Dataset = Dataset()
    memorization: Memorization = Memorization()
    selection: Selection = Selection()
    duplicates: Duplicates = Duplicates()
    subpopulations: Subpopulations = Subpopulations()
    review: Review = Review()
    recipes: dict[Name, Recipe] = Field({}, validate_default=True)
    trials: int = key(
        "Models per arm of Table 2.",
        100,
        rebuilds="the new models, Table 2 and everything that shows it",
        ge=1,
        le=1_000_000,
    )
    statistics: Statistics = Statistics()
    plan: Plan = Plan()
    sweeps: Sweeps = Sweeps()
    removals: dict[Name, Location] = key(
        "Lists of examples of your own to remove, `{name: file}`; a file has one training index "
        "(from 0) per line. Each list gets a row in Table 2 and a matched random control.",
        {},
        rebuilds="the new rows",
        allowed="a mapping of names to files",
    )
    external: dict[Name, Location] = key(
        "Scores or data attributions of other methods to judge, `{name: file}`: .npy or .npz, one "
        "number per training example, or training x test examples. A target of its own: "
        "`snakemake external` ([how](#scores-of-other-methods)).",
        {},
        rebuilds="external.csv when requested",
        allowed="a mapping of names to files",
    )
    training: Training = Training()

    @field_validator("recipes", mode="before")
    @classmethod
    def _complete_recipes(cls, given: Any) -> Any:
        """Add the paper's recipes, and to those that are given the keys that they do not set."""
        given = {} if given is None else given
        if not isinstance(given, dict):
            return given
        own = {
            name: default | (given.get(name) or {})
            for name, default in PAPER_RECIPES.items()
            if isinstance(given.get(name) or {}, dict)
        }
        return own | {name: given[name] for name in sorted(given, key=str) if name not in own}
