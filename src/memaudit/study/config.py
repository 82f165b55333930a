"""The configuration of a study: its keys, what they may be, and what an edit of each rebuilds.

`python -m memaudit.study.config` writes the table of keys in config/README.md and
config/schema.json (for editors) from the model below.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from memaudit.buckets.decisions import read_decisions
from memaudit.data.image_folder import count_images
from memaudit.data.longtail import LongTail
from memaudit.errors import AuditError
from memaudit.models.network_names import NETWORKS, source_path
from memaudit.models.removals import CONTROL, block_size, read_examples

# Removals that the study defines itself; WEIGHT_DECAY and ABOVE begin the names of those of sweeps.
LISTED = ("selected", "leakage_shift", "memorized")
WEIGHT_DECAY, ABOVE = "weight_decay_", "above_"
RENAMED_RECIPES = {"converged": "weight_decay"}

PUBLISHED_THRESHOLDS = {"memorization": 0.25, "influence": 0.15}
CIFAR_TRAIN = 50_000
# Folders of the working folder in which a study must not write its results.
NOT_RESULTS = (
    *("benchmarks", "config", "data", "docs", "envs", "profiles", "slurm", "src", "tests"),
    "workflow",
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def _key(description: str, default: Any = ..., **options: Any) -> Any:
    """A key of the configuration.

    `rebuilds` says what an edit of it rebuilds, if not what its section states; `allowed` what it
    may be, if the type does not say. Other options are pydantic's.
    """
    extra: dict[str, Any] = {
        name: options.pop(name) for name in ("rebuilds", "allowed") if name in options
    }
    return Field(default, description=description, json_schema_extra=extra, **options)


def _rebuilds(what: str) -> ConfigDict:
    """What an edit of the keys of a section rebuilds."""
    return ConfigDict(json_schema_extra={"rebuilds": what})


def _text(pattern: str, most: int, allowed: str) -> Any:
    """Text of a certain form; `allowed` says so in words, for error messages."""
    return Field(pattern=pattern, max_length=most, json_schema_extra={"allowed": allowed})


def _unique(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("a value occurs twice")
    return values


NAME = "at most 80 letters, digits and _ only, no blanks"
Name = Annotated[str, _text("^[A-Za-z0-9_]+$", 80, NAME)]
Location = Annotated[str, _text("^[^{}]*$", 4096, "a path without braces")]
Unique = AfterValidator(_unique)


class _Section(BaseModel):
    """A section of the configuration: known keys only, values of exactly the stated type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _read_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Read numbers, booleans and null that YAML or the command line give as text."""
        return _from_text(value, _types(cls.model_fields[info.field_name or ""].annotation))


def _types(annotation: Any) -> set[Any]:
    """The types that occur in an annotation."""
    if get_origin(annotation) is Literal:
        return {str}
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        arguments = arguments[:1]
    return set().union(*map(_types, arguments)) if arguments else {annotation}


def _from_text(value: Any, types: set[Any]) -> Any:
    if isinstance(value, list):
        return [_from_text(item, types) for item in value]
    if isinstance(value, dict) and types == {str}:
        return {name: _from_text(item, types) for name, item in value.items()}
    if isinstance(value, str):
        if not value.isprintable():
            raise ValueError("line breaks and control characters are not allowed")
        if NoneType in types and value in ("null", "~"):
            return None
        if bool in types and value in ("true", "false", "yes", "no"):
            return value in ("true", "yes")
        if {int, float} & types and _NUMBER.fullmatch(value):
            value = float(value)
    if isinstance(value, float):
        # one value for each number, as Snakemake compares their text: 60 of 6e1, 0.0 of -0.0
        return int(value) if int in types and value.is_integer() else value + 0.0
    return value


class ImageFolder(_Section):
    """Images of your own: a folder per class."""

    model_config = _rebuilds("everything")

    path: str | None = _key(
        "Folder that holds `train/<class>/*` and `test/<class>/*`. Changed images are not noticed: "
        "delete `data/<name>.h5` to read them again.",
        None,
    )
    image_size: int | None = _key(
        "Side in pixels; images are scaled and cropped to their center. `null`: as they are, all "
        "of one size.",
        None,
        ge=8,
        le=1024,
    )
    per_class: int | None = _key(
        "Maximum number of training images per class, and of test images, taken in sorted order. "
        "`null`: all.",
        None,
        ge=1,
    )


class GeneratedImages(_Section):
    """Synthetic images with a known long tail; the counts are per class."""

    model_config = _rebuilds("everything")

    image_size: int = _key("Side in pixels.", ge=8, le=256)
    classes: int = _key("Number of classes; the counts below are per class.", ge=2, le=10_000)
    head: int = _key("Large subpopulations.", ge=1, le=1000)
    head_size: int = _key(
        "Training examples of the largest subpopulation; the r-th has 1/r of it.",
        ge=1,
        le=1_000_000,
    )
    head_test: float = _key(
        "Test examples of a large subpopulation per training example.", ge=0, le=100
    )
    small: int = _key("Subpopulations of two or three training examples.", ge=0, le=100_000)
    small_test: int = _key("Test examples of each small subpopulation.", ge=1, le=1000)
    singletons: int = _key(
        "Subpopulations of one training example and one test example.", ge=0, le=100_000
    )
    exact: int = _key("Singletons whose test example is an exact duplicate.", ge=0, le=100_000)
    edited: int = _key(
        "Singletons whose test example is an edited duplicate (mirrored, shifted, brighter, ...).",
        ge=0,
        le=100_000,
    )
    mislabelled: int = _key("Training examples with the label of another class.", ge=0, le=100_000)
    variation: float = _key(
        "Variation within a large subpopulation, relative to the contrast of its template.",
        ge=0,
        le=3,
    )
    small_variation: float = _key("Variation within all other subpopulations.", ge=0, le=3)
    noise: float = _key("SD of the pixel noise, on the scale 0 to 255.", ge=0, le=100)


class Dataset(_Section):
    """The images."""

    model_config = _rebuilds("everything")

    kind: Literal["cifar100", "cifar10", "image_folder", "longtail"] = _key(
        "`cifar100`, `cifar10`: downloaded and checked; `image_folder`: your own images; "
        "`longtail`: synthetic images.",
        "cifar100",
    )
    name: Annotated[
        str, _text("^[A-Za-z0-9._-]+$", 80, "at most 80 letters, digits and ._- only, no blanks")
    ] = _key(
        "The dataset is stored as `data/<name>.h5`. Give each dataset a name of its own.",
        "cifar100",
    )
    image_folder: ImageFolder = ImageFolder()
    longtail: GeneratedImages | None = None


class Memorization(_Section):
    """Where memorization and influence come from."""

    source: Literal["estimate", "published", "published_matrix", "published_runs"] = _key(
        "`published`: the 1,015 pairs that F&Z published for CIFAR-100, instead of training 4,000 "
        "models; `published_matrix`: their scores of all examples (`cifar100_infl_matrix.npz`, "
        "which you must have); `published_runs`: their released runs (`aux_arrays.npz`), scored "
        "as if trained here; `estimate`: train the subset models.",
        "published",
        rebuilds="selection and everything after it",
    )
    path: Location | None = _key(
        "File of `published_matrix` (`null`: `data/cifar100_infl_matrix.npz`) or folder of "
        "`published_runs` (every `aux_arrays.npz` below it). `null` for the other sources.",
        None,
        rebuilds="selection and everything after it",
    )
    recipe: str = _key(
        "Recipe of the subset models; a name under `recipes`.",
        "original",
        rebuilds="scores and everything after them",
    )
    models: int = _key(
        "Number of subset models, k. The standard error of a score is at most "
        "sqrt(1/(4·0.7k) + 1/(4·0.3k)): 0.11 at 100, 0.055 at 400, 0.035 at 1,000, 0.017 at 4,000.",
        4000,
        rebuilds="the new subset models, scores and everything after them",
        ge=2,
        le=1_000_000,
    )
    subset_fraction: float = _key(
        "Fraction of the training examples in each subset, r; at most two decimals.",
        0.7,
        rebuilds="subset models and everything after them",
        ge=0.05,
        le=0.95,
    )
    influence: Literal["within_class", "all_pairs"] = _key(
        "`within_class`: influence of training examples on the test examples of their class, by "
        "which examples are selected, as in the paper. `all_pairs`: in addition a file of the "
        "influence of every training example on every test example "
        "(`scores/<recipe>_all_pairs.h5`; [cost](#all-pairs)); needs `source: estimate`.",
        "within_class",
        rebuilds="that file",
    )


class Selection(_Section):
    """Which training examples are selected for removal."""

    model_config = _rebuilds("selection, buckets, the removals that change")

    memorization: float = _key(
        "A selected example has at least this memorization.", 0.25, ge=-1, le=1
    )
    influence: float = _key(
        "It also has at least this influence on a test example of its class.", 0.15, ge=-1, le=1
    )
    z: float = _key(
        "That influence is more than this many standard errors above zero. Removes noise at a few "
        "hundred models; at the paper's 4,000 it changes nothing (4 standard errors are at most "
        "0.07).",
        4.0,
        ge=0,
        le=1000,
    )
    held_out_half: bool = _key(
        "`true`: select by the influence on one half of the test examples (half of each class, "
        "drawn from the seed) and also report the drop on the other, held-out half "
        "(`drop_held_out`), which is free of selection bias. Selects fewer examples. "
        "[Scope](#the-held-out-half).",
        False,
        rebuilds="selection, buckets, the removals that change, Table 2",
    )


class Duplicates(_Section):
    """Which training images duplicate a test image."""

    model_config = _rebuilds("duplicates, buckets, the removals that change")

    near: float = _key(
        "Similarity (1 = identical) from which a training and a test image count as "
        "near-duplicates. On CIFAR-10, judged by one person, 97% of the test images with a pair "
        "at 0.55 or above show the same photograph ([evaluation](../docs/duplicates.md)).",
        0.55,
        ge=0,
        le=1,
    )
    review: float = _key(
        "Similarity from which a pair is listed in `duplicates.csv` for manual annotation. At "
        "most `near`. `ranked_pairs.csv` holds the five most similar pairs of every test image.",
        0.45,
        ge=0,
        le=1,
    )
    cifair: Annotated[list[Literal["exact", "near", "very similar"]], Unique] = _key(
        "For CIFAR-10 and CIFAR-100: ciFAIR's manual annotations that count as duplicates, "
        "besides the detector; an annotation overrides the detector. `[]`: none. Ignored for "
        "other datasets.",
        ["exact", "near"],
        rebuilds="buckets, the removals that change",
    )


class Subpopulations(_Section):
    """Which selected examples belong to a subpopulation."""

    by: Literal["rule", "checked"] = _key(
        "`rule`: all that share an influenced test example with another, the paper's definition. "
        "`checked`: those of them that also look alike, by their coarse colors; better with a "
        "few hundred models, where some influences are noise. `subpopulations.csv` has both. "
        "[Evaluation](#the-rule-and-the-check).",
        "rule",
        rebuilds="buckets, the removals that change",
    )
    similarity: float = _key(
        "Two training images look alike if their similarity is at least this many standard "
        "deviations above the median of random pairs of their class.",
        1.0,
        rebuilds="subpopulations, buckets, the removals that change",
    )


class Review(_Section):
    """Manual annotation."""

    decisions: str | None = _key(
        "CSV file of manual annotations, `item,train,test,decision`, as the review page exports "
        "it. They override all automatic decisions and ciFAIR's "
        "([format](#manual-annotations)). `null`: none.",
        None,
        rebuilds="duplicates, buckets, the removals that change, Table 2",
    )


class Recipe(_Section):
    """How a model is trained."""

    model_config = _rebuilds("models of that recipe and everything after them")

    network: Annotated[
        str,
        Field(
            pattern=rf"^({'|'.join(NETWORKS)}|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
            json_schema_extra={
                "allowed": f"one of {', '.join(NETWORKS)}, or package.module:function"
            },
        ),
    ] = _key(
        "`fz_resnet50` (F&Z's, pre-activation), `resnet50`, `resnet18` (torchvision's, with a "
        "CIFAR stem), `resnet9`, `tiny`, or a function of your own that builds a network, "
        "`package.module:function`."
    )
    epochs: int = _key("Passes over the training examples.", ge=1, le=100_000)
    batch_size: int = _key(
        "Images per step; the incomplete batch at the end of an epoch is dropped.",
        ge=2,
        le=1_000_000,
    )
    learning_rate: float = _key("Peak of the triangular schedule.", gt=0)
    warmup: float = _key(
        "Fraction of the steps in which the learning rate rises to its peak.", ge=0, lt=1
    )
    momentum: float = _key("Momentum of SGD.", ge=0, lt=1)
    weight_decay: float = _key(
        "Weight decay of SGD, on all parameters. The paper does not state its value.", ge=0
    )
    crop_padding: int = _key(
        "Zero-padding in pixels before a random crop; 0: no crop.", ge=0, le=256
    )
    mirror: bool = _key("Flip images horizontally at random.")
    precision: Literal["float32", "tf32", "bfloat16"] = _key(
        "Precision of convolutions and matrix products; weights, updates and loss are always "
        "float32. `tf32` rounds their inputs (GPUs of compute capability 8.0 or later); `bfloat16` "
        "is torch's autocast, faster on GPUs that support it, slower on most CPUs."
    )


class Statistics(_Section):
    """The statistics of Table 2."""

    model_config = _rebuilds("Table 2, claims, summary, figures; sweeps when requested")

    margin: float = _key(
        "Equivalence margin, pp: a removal is equivalent to its random control if a test at the 5% "
        "level shows that the excess drop is smaller in either direction (`p_equivalence`).",
        0.25,
        gt=0,
        le=100,
    )
    bootstrap: int = _key(
        "Draws of models and test images for the bootstrap intervals. At 2,000 the bounds are "
        "accurate to about 6% of a standard error.",
        2000,
        ge=200,
        le=100_000,
    )


class Plan(_Section):
    """The precision for which `snakemake plan` computes numbers of models."""

    model_config = _rebuilds("nothing")

    drop: float = _key(
        "Half-width of the 95% CI of a drop, and the drop to detect with 80% power, pp.",
        0.1,
        gt=0,
        le=100,
    )
    memorization: float = _key(
        "Half-width of the 95% CI of a memorization score.", 0.05, gt=0, le=1
    )


class Sweeps(_Section):
    """Sweeps; targets of their own: `snakemake weight_decay threshold_curve`."""

    weight_decay: Annotated[list[Annotated[float, Field(ge=0)]], Unique] = _key(
        "Values of weight decay; the other settings are those of the recipe `weight_decay`. A "
        "value that a configured recipe has is taken from it. [Sweeps](../docs/sweeps.md).",
        [0.0, 0.0001, 0.0003, 0.0005, 0.001, 0.002],
        rebuilds="models of the new values, that sweep",
        min_length=1,
    )
    thresholds: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Unique] = _key(
        "Memorization thresholds; for each, all examples at or above it are removed.",
        [0.1, 0.25, 0.4, 0.55, 0.7, 0.85],
        rebuilds="models of the new thresholds, that sweep",
        min_length=1,
    )
    recipes: Annotated[list[str], Unique] = _key(
        "Recipes of the sweep over thresholds; names under `recipes`.",
        ["original", "weight_decay"],
        rebuilds="models of the new recipes, that sweep",
        min_length=1,
    )
    trials: int = _key(
        "Models per arm of a sweep; an arm that is also in Table 2 has `trials`.",
        20,
        rebuilds="the new models, the sweeps",
        ge=1,
        le=1_000_000,
    )


class Training(_Section):
    """Speed and bookkeeping; no result depends on it."""

    model_config = _rebuilds("nothing")

    models_per_job: int = _key(
        "Models that one job trains, one after the other, in one process.",
        1,
        rebuilds="nothing is retrained; new jobs take over the models",
        ge=1,
        le=1_000_000,
    )
    device: Literal["auto", "cpu", "cuda"] = _key("`auto`: the GPU if there is one.", "auto")
    processes_per_gpu: int = _key(
        "Training jobs that share a GPU of this machine; one small network does not use a GPU "
        "fully, and `benchmarks/gpu` measures how many help. `snakemake plan` ignores it. A Slurm "
        "job always trains alone on its GPU. `--resources gpu=N` limits the jobs on all GPUs "
        "together.",
        1,
        ge=1,
        le=64,
    )
    cuda_graphs: bool = _key(
        "On a GPU: `true` captures the training step in a CUDA graph; `false` launches each "
        "kernel, for GPUs or drivers on which graphs fail.",
        True,
    )
    loader: Literal["auto", "resident", "ffcv"] = _key(
        "`resident`: images are kept on the training device; `ffcv`: FFCV reads them (`make "
        ".venv/ffcv` installs it); `auto`: resident if they fit in a quarter of the free memory. "
        "The batches are identical.",
        "auto",
    )
    max_hours: float | None = _key(
        "A run that is estimated to take longer on this machine stops before it trains. `null`: "
        "no limit. Clusters have no limit.",
        24.0,
        gt=0,
    )
    checkpoint_minutes: float = _key(
        "Minutes between checkpoints of the model in training, taken at the end of an epoch: the "
        "most that a killed job loses. On SIGTERM (time limit, preemption) a job also saves at "
        "the end of the epoch. 0: after every epoch.",
        5.0,
        ge=0,
    )
    test_every: int = _key(
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
_RECIPES = {"original": _FZ, "weight_decay": _FZ | {"weight_decay": 0.0005}}


class Config(_Section):
    """Configuration of a memorization audit. The defaults are the paper's study."""

    results: Annotated[
        str,
        _text(
            "^[A-Za-z0-9._-][A-Za-z0-9._/-]*$",
            200,
            "a relative path of letters, digits and ._- only, with / between folders, no blanks",
        ),
    ] = _key(
        "Folder for the results, relative to the working folder. It belongs to one dataset "
        "(named in `dataset.txt`); a study of another dataset is refused.",
        "results",
        rebuilds="everything but the dataset",
    )
    mirror: str | None = _key(
        "Folder in which remote files are looked for, by name and checksum, before they are "
        "downloaded. `null`: the folder that the environment variable `MEMAUDIT_MIRROR` names.",
        None,
        rebuilds="nothing",
    )
    seed: int = _key(
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
    trials: int = _key(
        "Models per arm of Table 2.",
        100,
        rebuilds="the new models, Table 2 and everything that shows it",
        ge=1,
        le=1_000_000,
    )
    statistics: Statistics = Statistics()
    plan: Plan = Plan()
    sweeps: Sweeps = Sweeps()
    removals: dict[Name, Location] = _key(
        "Lists of examples of your own to remove, `{name: file}`; a file has one training index "
        "(from 0) per line. Each list gets a row in Table 2 and a matched random control.",
        {},
        rebuilds="the new rows",
        allowed="a mapping of names to files",
    )
    training: Training = Training()

    @field_validator("recipes", mode="before")
    @classmethod
    def _complete_recipes(cls, given: Any) -> Any:
        """Add the paper's recipes, and to those that are given the keys that they do not set."""
        if not isinstance(given, dict):
            return given
        own = {
            name: default | given[name] if isinstance(given.get(name), dict) else default
            for name, default in _RECIPES.items()
            if isinstance(given.get(name, {}), dict)
        }
        return own | {name: given[name] for name in sorted(given, key=str) if name not in own}


def read_config(given: Mapping[str, Any]) -> Config:
    """Check a configuration; keys that are not given have the paper's values.

    Numbers and null may be text, as YAML reads 5e-4 and as Snakemake passes `--config`. Raises
    AuditError with one line for each problem: the key, its value and what is allowed.
    """
    try:
        config = Config.model_validate(dict(given))
        problems = list(_problems(config))
    except ValidationError as error:
        schema = Config.model_json_schema()
        problems = list(dict.fromkeys(_explain(found, schema) for found in error.errors()))
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise AuditError(f"the configuration is not valid:\n{lines}")
    return config


def check_files(paths: Iterable[str | Path]) -> None:
    """Raise AuditError if a configuration file has a key twice: YAML would take the last."""
    for path in paths:
        try:
            root = yaml.compose(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue  # reported by the reader of its content
        for names, line in _duplicate_keys(root):
            raise AuditError(f"{path}, line {line}: duplicate key {_name(names)}; remove one")


def n_train(config: Config) -> int | None:
    """Training examples of the configured dataset; None if only the images tell."""
    if config.dataset.kind == "longtail" and config.dataset.longtail:
        settings = LongTail(**config.dataset.longtail.model_dump())
        return settings.classes * settings.train_per_class()
    return None if config.dataset.kind == "image_folder" else CIFAR_TRAIN


def _duplicate_keys(
    node: yaml.Node | None, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], int]]:
    """(key, line) of every key that occurs again in a mapping."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                yield (*path, name), key.start_mark.line + 1
            seen.add(name)
            yield from _duplicate_keys(value, (*path, name))


def _name(path: Iterable[Any]) -> str:
    return ".".join(map(str, path))


# --- messages and documentation, from the JSON schema ---------------------------------------------


def _explain(error: Any, schema: dict[str, Any]) -> str:
    """One line for a validation error: key, value, what is allowed."""
    path, value = list(error["loc"]), error["input"]
    if path[-1:] == ["[key]"] or error["type"] == "invalid_key":
        wrong = path[-2] if path[-1] == "[key]" else path[-1]
        where = _name(path[:-1] if path[-1] == "[key]" else path)
        if not isinstance(wrong, str):
            return f"{where}: the key {wrong!r} must be text"
        return f"{where}: the key {wrong!r} must be {NAME}"
    if error["type"] == "extra_forbidden":
        known = ", ".join(sorted(_at(path[:-1], schema)["properties"]))
        return f"{_name(path)} = {value!r}: unknown key; the known keys are {known}"
    if error["type"] == "missing":
        return f"{_name(path)} is missing"
    if error["type"] == "value_error":
        return f"{_name(path)} = {value!r}: {error['ctx']['error']}"
    if error["type"] == "finite_number":
        return f"{_name(path)} = {value!r}: must be a finite number"
    return f"{_name(path)} = {value!r}: must be {_allowed(_at(path, schema))}"


def _at(path: Iterable[Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The part of the schema for a key."""
    node = schema
    for name in path:
        others = [*node.get("patternProperties", {}).values(), node.get("items", {})]
        node = node.get("properties", {}).get(name, others[0])
        for option in (node, *node.get("anyOf", ())):
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rpartition("/")[2]]
    return node


def _allowed(node: dict[str, Any]) -> str:
    """What a key may be, in words."""
    if "allowed" in node:
        return str(node["allowed"])
    if "anyOf" in node:
        return " or ".join(map(_allowed, node["anyOf"]))
    if "enum" in node:
        return f"one of {', '.join(node['enum'])}"
    kind = node.get("type")
    if kind == "array":
        items = _allowed(node["items"])
        return f"a {'non-empty ' if node.get('minItems') else ''}list, each value {items}"
    if kind in ("integer", "number"):
        return f"{'an' if kind == 'integer' else 'a'} {kind}{_range(node)}"
    if kind == "object" or "$ref" in node:
        return "a mapping of keys to values"
    return {"boolean": "true or false", "string": "text", "null": "null"}[str(kind)]


def _range(node: dict[str, Any]) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    if least is not None and most is not None:
        return f" from {_number(least)} to {_number(most)}"
    limits = {
        "of at least": least,
        "greater than": node.get("exclusiveMinimum"),
        "of at most": most,
        "less than": node.get("exclusiveMaximum"),
    }
    found = [f"{words} {_number(value)}" for words, value in limits.items() if value is not None]
    return " " + " and ".join(found).replace("and of", "and") if found else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def documented_keys(
    schema: dict[str, Any], path: tuple[str, ...] = (), rebuilds: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key, its part of the JSON schema) of every key that has a value, in order."""
    for name in _at(path, schema).get("properties", ["<name>"]):
        node = _at((*path, name), schema)
        inherited = node.get("rebuilds", rebuilds)
        if "description" in node and "properties" not in node:
            yield _name((*path, name)), node | {"rebuilds": inherited}
        else:
            yield from documented_keys(schema, (*path, name), inherited)


def table() -> str:
    """The keys as a Markdown table, for config/README.md."""
    lines = ["| key | default | allowed | meaning | an edit rebuilds |", "|---|---|---|---|---|"]
    for key, node in documented_keys(Config.model_json_schema()):
        default = _default(key, node)
        allowed = _allowed(node).replace("|", "\\|")
        lines.append(
            f"| `{key}` | {default} | {allowed} | {node['description']} | {node['rebuilds']} |"
        )
    return "\n".join(lines)


def _default(key: str, node: dict[str, Any]) -> str:
    if key.startswith("recipes."):
        values = dict.fromkeys(json.dumps(r[key.rpartition(".")[2]]) for r in _RECIPES.values())
        return " or ".join(f"`{value.strip(chr(34))}`" for value in values)
    if "default" not in node:
        return ""
    return f"`{json.dumps(node['default']).strip(chr(34))}`"


def write_documentation(folder: Path) -> None:
    """Write the table of keys into README.md of a folder, and schema.json."""
    readme = folder / "README.md"
    head, begin, rest = readme.read_text(encoding="utf-8").partition("<!-- keys -->\n")
    _, end, tail = rest.partition("<!-- end of keys -->")
    readme.write_text(f"{head}{begin}{table()}\n{end}{tail}", encoding="utf-8")
    text = json.dumps(Config.model_json_schema(), indent=1)
    (folder / "schema.json").write_text(f"{text}\n", encoding="utf-8")


# --- what a type cannot say -----------------------------------------------------------------------


def _problems(config: Config) -> Iterator[str]:
    """Problems between keys, and with the files that keys name."""
    found = False
    for problems in (
        _results_problems(config.results),
        _recipe_problems(config),
        _memorization_problems(config),
        _duplicates_problems(config.duplicates),
        _dataset_problems(config.dataset),
        _source_problems(config),
    ):
        for problem in problems:
            found = True
            yield problem
    if not found:
        yield from _decisions_problems(config.review.decisions)
        yield from _size_problems(config)


def _results_problems(results: str) -> Iterator[str]:
    """A results folder outside the working folder, or among other files of it."""
    parts = Path(results).parts
    if not parts:
        where = "the working folder itself"
    elif ".." in parts:
        where = "outside the working folder"
    elif parts[0] in NOT_RESULTS or parts[0].startswith("."):
        where = f"the folder {parts[0]!r}, which holds other files"
    else:
        return
    yield (
        f"results = {results!r}: this is {where}; use a folder of its own, such as results/mine "
        "(it may be a link to another disk)"
    )


def _recipe_problems(config: Config) -> Iterator[str]:
    """Recipes with an old or a reserved name, and names of recipes that do not exist."""
    names = ", ".join(config.recipes)
    for name in config.recipes:
        if name in RENAMED_RECIPES:
            yield f"recipes.{name}: this recipe is now called {RENAMED_RECIPES[name]}; rename it"
        elif name.startswith(WEIGHT_DECAY):
            yield (
                f"recipes.{name}: names that begin with {WEIGHT_DECAY} are reserved for the sweep "
                "over weight decay; choose another name"
            )
    for name, recipe in config.recipes.items():
        if recipe.network not in NETWORKS:
            try:
                source_path(recipe.network)
            except AuditError as error:
                yield f"recipes.{name}.network: {error}"
    used = [("memorization.recipe", config.memorization.recipe)]
    used += [("sweeps.recipes", name) for name in config.sweeps.recipes]
    for key, name in used:
        if name in RENAMED_RECIPES:
            yield f"{key} = {name!r}: this recipe is now called {RENAMED_RECIPES[name]}"
        elif name not in config.recipes:
            yield f"{key} = {name!r}: must be a name under recipes ({names})"


def _memorization_problems(config: Config) -> Iterator[str]:
    fraction, models = config.memorization.subset_fraction, config.memorization.models
    parts, kept = block_size(fraction)
    if abs(kept / parts - fraction) > 1e-9:
        yield (
            f"memorization.subset_fraction = {fraction}: must have at most two decimals, such as "
            f"{fraction:.2f}"
        )
    elif models < parts:
        yield (
            f"memorization.models = {models}: must be at least {parts}; with subset_fraction "
            f"{fraction} it takes {parts} models to leave out every example"
        )


def _duplicates_problems(duplicates: Duplicates) -> Iterator[str]:
    if duplicates.review > duplicates.near:
        yield (
            f"duplicates.review = {duplicates.review}: must be at most duplicates.near "
            f"({duplicates.near})"
        )


def _source_problems(config: Config) -> Iterator[str]:
    """What the source of the scores does not allow."""
    memorization = config.memorization
    source, path, kind = memorization.source, memorization.path, config.dataset.kind
    if source in ("published", "published_matrix") and kind != "cifar100":
        yield (
            f"memorization.source = {source!r}: F&Z's scores are for cifar100, but dataset.kind "
            f"is {kind!r}; set memorization.source to estimate"
        )
    if source == "published_runs" and not path:
        yield "memorization.path = None: must be the folder of the released runs"
    elif source == "published_runs" and path and not Path(path).is_dir():
        yield f"memorization.path = {path!r}: directory not found"
    elif source == "published_matrix" and path and not Path(path).is_file():
        yield f"memorization.path = {path!r}: file not found"
    elif source in ("published", "estimate") and path:
        yield (
            f"memorization.path = {path!r}: not used with memorization.source {source}; set it to "
            "null, or memorization.source to published_matrix or published_runs"
        )
    if memorization.influence == "all_pairs" and source != "estimate":
        yield (
            "memorization.influence = 'all_pairs': needs subset models, but memorization.source is "
            f"{source!r}; set that to estimate, or this to within_class"
        )
    if source == "published":
        for key, least in PUBLISHED_THRESHOLDS.items():
            if (value := getattr(config.selection, key)) < least:
                yield (
                    f"selection.{key} = {value}: F&Z published only pairs of at least {least}; "
                    "raise it, or set memorization.source to published_matrix or estimate"
                )


def _dataset_problems(dataset: Dataset) -> Iterator[str]:
    kind, path = dataset.kind, dataset.image_folder.path
    if dataset.name in ("cifar10", "cifar100") and dataset.name != kind:
        yield (
            f"dataset.name = {dataset.name!r}: reserved for that dataset; choose another name for "
            f"a dataset of kind {kind}"
        )
    elif kind == "image_folder" and not path:
        yield (
            "dataset.image_folder.path = None: must be the folder that holds train/<class>/* and "
            "test/<class>/*"
        )
    elif kind == "image_folder" and path and not Path("data", f"{dataset.name}.h5").exists():
        if not Path(path).is_dir():
            yield f"dataset.image_folder.path = {path!r}: directory not found"
    elif kind == "longtail" and not dataset.longtail:
        yield "dataset.longtail is missing; dataset.kind longtail needs it"


def _decisions_problems(path: str | None) -> Iterator[str]:
    if not path:
        return
    if not Path(path).is_file():
        yield f"review.decisions = {path!r}: file not found"
        return
    try:
        read_decisions(path)
    except AuditError as error:
        yield f"review.decisions = {path!r}: {error}"


def _size_problems(config: Config) -> Iterator[str]:
    """Lists of examples, and subsets, that do not fit the dataset."""
    n = n_train(config)
    if n is None and config.removals:
        folder = config.dataset.image_folder
        n = count_images(folder.path or "", "train", folder.per_class) or None
    for name, path in config.removals.items():
        key = f"removals.{name} = {path!r}"
        if name in (*LISTED, "none", "subset") or name.startswith((CONTROL, ABOVE)):
            yield (
                f"{key}: the name is reserved, as are none, subset, {', '.join(LISTED)} and names "
                f"that begin with {CONTROL} or {ABOVE}; choose another name"
            )
        elif not Path(path).is_file():
            yield f"{key}: file not found"
        else:
            try:
                if not len(read_examples(path, n)):
                    yield (
                        f"{key}: the list is empty; write one training index per line, or remove "
                        "the key"
                    )
            except AuditError as error:
                yield f"{key}: {error}"
    fraction = config.memorization.subset_fraction
    parts, _ = block_size(fraction)
    if n is not None and n < parts:
        yield (
            f"dataset: {n} training examples are too few; subset_fraction {fraction} needs at "
            f"least {parts}"
        )


if __name__ == "__main__":
    write_documentation(Path("config"))
