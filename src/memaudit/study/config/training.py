"""Keys of recipes and of training."""

from typing import Annotated, Literal

from pydantic import Field

from memaudit.models.network_names import NETWORKS
from memaudit.study.config.section import Section, key, rebuilds, text


class Recipe(Section):
    """How a model is trained."""

    model_config = rebuilds("models of that recipe and everything after them")

    network: Annotated[
        str,
        text(
            rf"^({'|'.join(NETWORKS)}|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
            f"one of {', '.join(NETWORKS)}, or package.module:function",
        ),
    ] = key()
    """`fz_resnet50` (F&Z's, pre-activation), `resnet50`, `resnet18` (torchvision's, with a CIFAR
    stem), `resnet9`, `small` (for CIFAR on a CPU), `tiny`, or a function of your own that builds a
    network, `package.module:function`."""
    epochs: int = key(ge=1, le=100_000)
    """Passes over the training examples."""
    batch_size: int = key(ge=2, le=1_000_000)
    """Images per step; the incomplete batch at the end of an epoch is dropped."""
    learning_rate: float = key(gt=0)
    """Peak of the triangular schedule."""
    warmup: float = key(ge=0, lt=1)
    """Fraction of the steps in which the learning rate rises to its peak."""
    momentum: float = key(ge=0, lt=1)
    """Momentum of SGD."""
    weight_decay: float = key(ge=0)
    """Weight decay of SGD, on all parameters. The paper does not state its value."""
    crop_padding: int = key(ge=0, le=256)
    """Zero-padding in pixels before a random crop; 0: no crop."""
    mirror: bool = key()
    """Flip images horizontally at random."""
    precision: Literal["float32", "tf32", "bfloat16"] = key()
    """Precision of convolutions and matrix products; weights, updates and loss are always float32.
    `tf32` rounds their inputs (GPUs of compute capability 8.0 or later); `bfloat16` is torch's
    autocast, faster on GPUs that support it, slower on most CPUs."""


class Training(Section):
    """Speed and bookkeeping; no result depends on it."""

    model_config = rebuilds("nothing")

    models_per_job: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"] = key(
        "auto", rebuilds="nothing is retrained; new jobs take over the models"
    )
    """Models that one job trains, one after the other, in one process. `auto`: as many as take
    about half an hour by the estimate, for each recipe, and few enough that all GPUs or cores of
    this machine have work. The first run that trains records the numbers in `models_per_job.json`
    of the results folder; delete it to choose them again. 1 where the study is a module of another
    workflow."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: the GPU if there is one."""
    processes_per_gpu: int = key(1, ge=1, le=64)
    """Training jobs that share a GPU of this machine; one small network does not use a GPU fully,
    and `benchmarks/gpu` measures how many help ([MPS](../docs/training.md#devices)). `snakemake
    plan` ignores it. A Slurm job always trains alone on its GPU. `--resources gpu=N` limits the
    jobs on all GPUs together."""
    cuda_graphs: bool = True
    """On a GPU: `true` captures the training step in a CUDA graph; `false` launches each kernel,
    for GPUs or drivers on which graphs fail."""
    loader: Literal["auto", "resident", "ffcv"] = "auto"
    """`resident`: images are kept on the training device; `ffcv`: FFCV reads them (`make
    .venv/ffcv` installs it); `auto`: resident if they fit in a quarter of the free memory. The
    batches are identical."""
    max_hours: float | None = key(24.0, gt=0)
    """A run that is estimated to take longer on this machine stops before it trains. `null`: no
    limit. Clusters have no limit."""
    checkpoint_minutes: float = key(5.0, ge=0)
    """Minutes between checkpoints of the model in training, taken at the end of an epoch: the most
    that a killed job loses. On SIGTERM (time limit, preemption) a job also saves at the end of the
    epoch. 0: after every epoch."""
    test_every: int = key(10, ge=0, le=100_000)
    """Epochs between evaluations on the test set for the learning curves; 0: after the last only.
    Subset models are evaluated after the last epoch. Trained models keep their curves."""


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
