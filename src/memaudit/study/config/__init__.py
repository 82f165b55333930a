"""The configuration of a study: its keys, what they may be, and what an edit of each rebuilds."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from memaudit.models.network_names import NETWORKS
from memaudit.study.config.dataset import Dataset
from memaudit.study.config.section import Location, Name, Section, Unique, key, rebuilds, text

# Removals that the study defines itself; WEIGHT_DECAY and ABOVE begin the names of those of sweeps,
# TOP those of the lists of external scores.
LISTED = ("selected", "leakage_shift", "memorized")
TOP = "top_"
WEIGHT_DECAY, ABOVE = "weight_decay_", "above_"


class Memorization(Section):
    """Where memorization and influence come from."""

    source: Literal["estimate", "published", "published_matrix", "published_runs"] = key(
        "`published`: the 1,015 pairs that F&Z published for CIFAR-100, instead of training 4,000 "
        "models; `published_matrix`: their scores of all examples (`cifar100_infl_matrix.npz`, "
        "which you must have); `published_runs`: their released runs (`aux_arrays.npz`), scored "
        "as if trained here; `estimate`: train the subset models.",
        "published",
        rebuilds="selection and everything after it",
    )
    path: Location | None = key(
        "File of `published_matrix` (`null`: `data/cifar100_infl_matrix.npz`) or folder of "
        "`published_runs` (every `aux_arrays.npz` below it). `null` for the other sources.",
        None,
        rebuilds="selection and everything after it",
    )
    recipe: str = key(
        "Recipe of the subset models; a name under `recipes`.",
        "original",
        rebuilds="scores and everything after them",
    )
    models: int = key(
        "Number of subset models, k. With the estimator `difference`, the standard error of a "
        "score is at most sqrt(1/(4·0.7k) + 1/(4·0.3k)): 0.11 at 100, 0.055 at 400, 0.035 at "
        "1,000, 0.017 at 4,000. With `margins` it is smaller, but has no formula.",
        4000,
        rebuilds="the new subset models, scores and everything after them",
        ge=2,
        le=1_000_000,
    )
    subset_fraction: float = key(
        "Fraction of the training examples in each subset, r; at most two decimals.",
        0.7,
        rebuilds="subset models and everything after them",
        ge=0.05,
        le=0.95,
    )
    estimator: Literal["margins", "difference"] = key(
        "How scores are estimated from the subset models. `difference`: F&Z's difference of "
        "accuracies. `margins`: the same quantities from the margins of the predictions, from "
        "fewer models ([how many](../docs/estimator.md)). Not used for published scores.",
        "difference",
        rebuilds="scores and everything after them",
    )
    store_margins: bool = key(
        "Whether shards of subset models keep margins and log-odds (float16): 4 bytes per model "
        "and example, 240 kB per model on CIFAR-100. `estimator: margins` and `snakemake privacy` "
        "need them. Margins that are stored stay when this is set to `false`, which holds for new "
        "models; with `true`, subset models that were trained without margins are trained again "
        "(`snakemake plan` says how many).",
        True,
        rebuilds="subset models without margins, if set to `true`; `external.csv`",
    )
    influence: Literal["within_class", "all_pairs"] = key(
        "`within_class`: influence of training examples on the test examples of their class, by "
        "which examples are selected, as in the paper. `all_pairs`: in addition a file of the "
        "influence of every training example on every test example "
        "(`scores/<recipe>_all_pairs.h5`; [cost](#all-pairs)); needs `source: estimate`.",
        "within_class",
        rebuilds="that file",
    )


class Selection(Section):
    """Which training examples are selected for removal."""

    model_config = rebuilds("selection, buckets, the removals that change")

    memorization: float = key(
        "A selected example has at least this memorization.", 0.25, ge=-1, le=1
    )
    influence: float = key(
        "It also has at least this influence on a test example of its class.", 0.15, ge=-1, le=1
    )
    z: float = key(
        "That influence is more than this many standard errors above zero (`estimator: margins` "
        "tests it by a regression of the margins). Removes noise at a few hundred models; at the "
        "paper's 4,000 it changes nothing (4 standard errors are at most 0.07).",
        4.0,
        ge=0,
        le=1000,
    )
    held_out_half: bool = key(
        "`true`: select by the influence on one half of the test examples (half of each class, "
        "drawn from the seed) and also report the drop on the other, held-out half "
        "(`drop_held_out`), which is free of selection bias. Selects fewer examples. "
        "[Scope](#the-held-out-half).",
        False,
        rebuilds="selection, buckets, the removals that change, Table 2",
    )


class Duplicates(Section):
    """Which training images duplicate a test image."""

    model_config = rebuilds("duplicates, buckets, the removals that change")

    near: float = key(
        "Similarity (1 = identical) from which a training and a test image count as "
        "near-duplicates. On CIFAR-10, by one annotator, 97% of the test images with a pair at "
        "0.55 or above show the same photograph ([evaluation](../docs/duplicates.md)).",
        0.55,
        ge=0,
        le=1,
    )
    review: float = key(
        "Similarity from which a pair is listed in `duplicates.csv` for manual annotation. At "
        "most `near`. `ranked_pairs.csv` holds the five most similar pairs of every test image.",
        0.45,
        ge=0,
        le=1,
    )
    transforms: Annotated[list[Literal["rotate", "flip", "negative"]], Unique] = key(
        "What is searched besides mirrored, shifted and scaled copies: `rotate` (by 90, 180 and "
        "270 degrees; takes 4 times as long), `flip` (upside down; twice as long), `negative` "
        "(twice as long). `[]`: nothing.",
        [],
    )
    kinds: Annotated[list[Literal["exact", "near", "scene"]], Unique] = key(
        "Which duplicates count as leakage: `exact`, `near` (the same photograph, processed "
        "differently), `scene` (another photograph of the same object in the same scene). The "
        "paper counts all. Pairs that a published annotation calls visually the same picture "
        "(`one_picture` in `leaks.csv`) count as `exact`. Manual annotations of your own always "
        "count.",
        ["exact", "near", "scene"],
        rebuilds="buckets, the removals that change",
    )
    embedding: (
        Annotated[
            str,
            Field(
                pattern=r"^(auto|network|classical|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
                json_schema_extra={
                    "allowed": "auto, network, classical or package.module:function"
                },
            ),
        ]
        | None
    ) = key(
        "How other photographs of a scene are searched, within a class "
        "([evaluation](../docs/duplicates.md#other-photographs-of-a-scene)): `network`: by a small "
        "network trained on the training images (minutes; with fewer than 3,000, as `classical`); "
        "`classical`: without training, finds fewer; `package.module:function`: by an embedding of "
        "your own. `null`: not at all. "
        "`auto`: `network` for CIFAR-10 and CIFAR-100, `null` for other datasets, for which the "
        "probabilities have not been checked. Classes with fewer than 50 training images are not "
        "searched.",
        "auto",
    )
    scene: float = key(
        "Probability from which a pair is of kind `scene`. That of a selected pair is raised, "
        "since an influence is evidence.",
        0.5,
        ge=0,
        le=1,
    )
    cifair: Annotated[list[Literal["exact", "near", "very similar"]], Unique] = key(
        "For CIFAR-10 and CIFAR-100: ciFAIR's manual annotations that count as duplicates, "
        "besides the detector; an annotation overrides the detector. `[]`: none. Ignored for "
        "other datasets.",
        ["exact", "near"],
        rebuilds="buckets, the removals that change",
    )
    fz_annotation: bool = key(
        "For CIFAR-100: decide F&Z's published pairs by "
        "[this project's annotation](../data/annotations/README.md) of them, which overrides the "
        "detector and ciFAIR. Ignored for other datasets.",
        True,
        rebuilds="buckets, the removals that change, Table 2",
    )


class Subpopulations(Section):
    """Which selected examples belong to a subpopulation."""

    by: Literal["rule", "checked"] = key(
        "`rule`: all that share an influenced test example with another, the paper's definition. "
        "`checked`: those of them that also look alike, by their coarse colours; better with a "
        "few hundred models, where some influences are noise. `subpopulations.csv` has both. "
        "[Evaluation](#the-rule-and-the-check).",
        "rule",
        rebuilds="buckets, the removals that change",
    )
    similarity: float = key(
        "Two training images look alike if their similarity is at least this many standard "
        "deviations above the median of random pairs of their class.",
        1.0,
        rebuilds="subpopulations, buckets, the removals that change",
    )


class Review(Section):
    """Manual annotation."""

    decisions: str | None = key(
        "CSV file of manual annotations, `item,train,test,decision`, as the review page exports "
        "it. They override all automatic decisions and ciFAIR's "
        "([format](#manual-annotations)). `null`: none.",
        None,
        rebuilds="duplicates, buckets, the removals that change, Table 2",
    )


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
