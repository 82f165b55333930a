"""A study in a page, to paste into an appendix: settings, counts, results, versions, citations."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from memaudit import bits, store
from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.data.dataset import Dataset

PACKAGES = ("memaudit", "torch", "numpy", "scipy", "h5py", "snakemake")
CITATIONS = (
    "V. Feldman and C. Zhang: What Neural Networks Memorize and Why: Discovering the Long Tail via "
    "Influence Estimation. NeurIPS 2020, arXiv:2008.03703.",
    "Is Memorization Actually Necessary for Generalization? The numbers quoted are those of the "
    "version with a drop of 0.54 pp in its Table 2; another version: "
    "https://openreview.net/forum?id=eAVPivm2jv.",
)


@dataclass(frozen=True)
class Trained:
    """The models of one recipe and removal: how many, without how many examples, where, how long.

    `removed` is None where each model leaves out another number; `seconds` of training and
    evaluation, all models together.
    """

    recipe: str
    removal: str
    models: int
    removed: int | None
    device: str
    seconds: float


def trained(recipe: str, removal: str, shards: Sequence[str | Path], n_train: int) -> Trained:
    """What the shards of one recipe and removal say of how their models were trained."""
    counts: set[int] = set()
    devices: set[str] = set()
    models, seconds = 0, 0.0
    for path in shards:
        with store.reading(path, store.SHARD) as file:
            kept = bits.unpack(file["train_mask"][:], n_train).sum(axis=1)
            counts |= {n_train - int(count) for count in kept}
            models += len(kept)
            seconds += float(file["seconds"][:].sum())
            devices.update(file.attrs.get("device", "not recorded").split("; "))
    device = "; ".join(sorted(devices))
    return Trained(
        recipe, removal, models, counts.pop() if len(counts) == 1 else None, device, seconds
    )


def markdown(
    config: Mapping[str, Any],
    data: Dataset,
    models: Sequence[Trained],
    assignments: Sequence[Assignment],
    leaks: Sequence[Leak],
    pairs: int,
    table: str,
    claims: str,
) -> str:
    """The summary; `table` and `claims` are the tables of table2.md and claims.md."""
    name, seed = config["dataset"]["name"], config["seed"]
    height, width = data.train_images.shape[1:3]
    hours = sum(part.seconds for part in models) / 3600
    reasons = Counter(row.reason for row in assignments)
    buckets = Counter(row.bucket for row in assignments)
    people = sum(row.decided_by == "manual annotation" for row in assignments)
    leaked = len({leak.test for leak in leaks})
    lines = [
        f"# Summary of the study {name}",
        "",
        f"**Data.** {data.n_train:,} training and {data.n_test:,} test images of "
        f"{width} x {height} pixels in {len(data.class_names)} classes "
        f"({config['dataset']['kind']}, sha256 of images and labels {data.digest()[:16]}…).",
        "",
        f"**Models.** {sum(part.models for part in models):,} models, {hours:.1f} device hours; "
        f"seed {seed}.",
        "",
        "| recipe | without | examples left out | models | seconds a model | device |",
        "|---|---|---:|---:|---:|---|",
        *(
            f"| {part.recipe} | {part.removal} | "
            f"{'varies' if part.removed is None else f'{part.removed:,}'} | {part.models:,} | "
            f"{part.seconds / part.models:.1f} | {part.device} |"
            for part in models
        ),
        "",
        *_recipes(config["recipes"], {part.recipe for part in models}),
        "",
        f"**Selection.** {_source(config)} An example is selected with memorization of at least "
        f"{config['selection']['memorization']:g} and influence of at least "
        f"{config['selection']['influence']:g} on a test example of its class"
        + (
            f", more than {config['selection']['z']:g} standard errors above zero"
            if config["memorization"]["source"] != "published"
            else ""
        )
        + f": {len(assignments):,} examples in {pairs:,} pairs."
        + (
            " Only one half of the test examples had a say in that (selection.held_out_half)."
            if config["selection"]["held_out_half"]
            else ""
        ),
        "",
        "**Duplicates and subpopulations.** A train and a test image are near duplicates from a "
        f"score of {config['duplicates']['near']:g} on (the duplicate finder's, 1 is identical)"
        + _annotated(config)
        + ". Selected examples that influence a common test example are a subpopulation"
        + (
            " if their coarse colours are alike, too"
            if config["subpopulations"]["by"] == "checked"
            else ""
        )
        + f" (subpopulations.by: {config['subpopulations']['by']}).",
        "",
        f"**Buckets.** leakage_shift {buckets['leakage_shift']:,} (exact duplicate in the test set "
        f"{reasons['exact']:,}, near duplicate {reasons['near']:,}, subpopulation "
        f"{reasons['subpopulation']:,}), memorized {buckets['memorized']:,}. "
        f"{people:,} of these {len(assignments):,} were decided by people. "
        f"{leaked:,} of {data.n_test:,} test images have a duplicate in the training set.",
        "",
        "**Table 2.** Test accuracy lost, percentage points. Intervals: Welch over models, for "
        "these test images; two-way bootstrap over models and test images, for others of their "
        f"kind ({config['statistics']['bootstrap']:,} draws). Equivalence margin "
        f"{config['statistics']['margin']:g}.",
        "",
        table,
        "",
        "**The papers' claims.**",
        "",
        claims,
        "",
        "**Versions.** Python "
        + platform.python_version()
        + "".join(f", {package} {version(package)}" for package in PACKAGES)
        + ".",
        "",
        "**Please cite** this software (CITATION.cff) and",
        "",
        *(f"- {citation}" for citation in CITATIONS),
        "",
    ]
    return "\n".join(lines)


def _recipes(recipes: Mapping[str, Mapping[str, Any]], used: set[str]) -> list[str]:
    """A table of the recipes that are used: a line a setting, a column a recipe."""
    used_here = {name: settings for name, settings in recipes.items() if name in used}
    return [
        "| recipe | " + " | ".join(used_here) + " |",
        "|---|" + "---|" * len(used_here),
        *(
            f"| {setting} | " + " | ".join(str(s[setting]) for s in used_here.values()) + " |"
            for setting in next(iter(recipes.values()))
        ),
    ]


def _source(config: Mapping[str, Any]) -> str:
    memorization = config["memorization"]
    match memorization["source"]:
        case "estimate":
            return (
                f"Memorization and influence are estimated (F&Z, equation 1) from "
                f"{memorization['models']:,} models of the recipe {memorization['recipe']}, each "
                f"on {memorization['subset_fraction']:.0%} of the training examples."
            )
        case "published":
            return "Memorization and influence are those of F&Z's published pairs."
        case _:
            return "Memorization and influence are F&Z's published scores."


def _annotated(config: Mapping[str, Any]) -> str:
    judgments = config["duplicates"]["cifair"]
    if not judgments or config["dataset"]["kind"] not in ("cifar10", "cifar100"):
        return ""
    return f", or where ciFAIR's people judged them {' or '.join(judgments)}"


def first_table(text: str) -> str:
    """The first table of a Markdown text."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("|"))
    rows = lines[start:]
    end = next((at for at, line in enumerate(rows) if not line.startswith("|")), len(rows))
    return "\n".join(rows[:end])
