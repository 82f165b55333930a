"""The configuration of a study: its keys, what they may be, and what an edit of each rebuilds."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from memaudit.study.config.dataset import Dataset
from memaudit.study.config.section import Location, Name, Section, Unique, key, rebuilds, text
from memaudit.study.config.selection import (
    Duplicates,
    Memorization,
    Review,
    Selection,
    Subpopulations,
)
from memaudit.study.config.training import PAPER_RECIPES, Recipe, Training

# Removals that the study defines itself; WEIGHT_DECAY and ABOVE begin the names of those of sweeps,
# TOP those of the lists of external scores.
LISTED = ("selected", "leakage_shift", "memorized")
TOP = "top_"
WEIGHT_DECAY, ABOVE = "weight_decay_", "above_"


class Statistics(Section):
    """The statistics of Table 2."""

    model_config = rebuilds("Table 2, claims, summary, figures; sweeps when requested")

    margin: float = key(0.25, gt=0, le=100)
    """Equivalence margin, pp: a removal is equivalent to its random control if a test at the 5%
    level shows that the excess drop is smaller in either direction (`p_equivalence`)."""
    bootstrap: int = key(2000, ge=200, le=100_000)
    """Draws of models and test images for the bootstrap intervals. At 2,000 the bounds are accurate
    to about 6% of a standard error."""


class Plan(Section):
    """The precision for which `snakemake plan` computes numbers of models."""

    model_config = rebuilds("nothing")

    drop: float = key(0.1, gt=0, le=100)
    """Half-width of the 95% CI of a drop, and the drop to detect with 80% power, pp."""
    memorization: float = key(0.05, gt=0, le=1)
    """Half-width of the 95% CI of a memorization score."""


class Sweeps(Section):
    """Sweeps; targets of their own: `snakemake weight_decay threshold_curve`."""

    weight_decay: Annotated[list[Annotated[float, Field(ge=0)]], Unique] = key(
        [0.0, 0.0001, 0.0003, 0.0005, 0.001, 0.002],
        rebuilds="models of the new values, that sweep",
        min_length=1,
    )
    """Values of weight decay; the other settings are those of the recipe `weight_decay`. A value
    that a configured recipe has reuses its models. [Sweeps](../docs/sweeps.md)."""
    thresholds: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Unique] = key(
        [0.1, 0.25, 0.4, 0.55, 0.7, 0.85],
        rebuilds="models of the new thresholds, that sweep",
        min_length=1,
    )
    """Memorization thresholds; for each, all examples at or above it are removed."""
    recipes: Annotated[list[str], Unique] = key(
        ["original", "weight_decay"], rebuilds="models of the new recipes, that sweep", min_length=1
    )
    """Recipes of the sweep over thresholds; names under `recipes`."""
    trials: int = key(20, rebuilds="the new models, the sweeps", ge=1, le=1_000_000)
    """Models per arm of a sweep; an arm that is also in Table 2 has `trials`."""


class Config(Section):
    """Configuration of a memorization audit. The defaults are the paper's study."""

    results: Annotated[
        str,
        text(
            "^[A-Za-z0-9._-][A-Za-z0-9._/-]*$",
            "a relative path of letters, digits and ._- only, with / between folders, no blanks",
            200,
        ),
    ] = key("results", rebuilds="everything but the dataset")
    """Folder for the results, relative to the working folder. It belongs to one dataset (named in
    `dataset.txt`); a study of another dataset is refused, and so are other images of the same name
    until `models` in it is deleted. Models of other recipes are replaced; a dry run, `memaudit
    plan` and the start of a run say how many."""
    mirror: str | None = key(None, rebuilds="nothing")
    """Folder in which remote files are looked for, by name and checksum, before they are
    downloaded. `null`: the folder that the environment variable `MEMAUDIT_MIRROR` names."""
    seed: int = key(0, rebuilds="everything", ge=0)
    """Seed of everything random: subsets, initial weights, order, augmentation, controls, synthetic
    images."""
    dataset: Dataset = Dataset()
    memorization: Memorization = Memorization()
    selection: Selection = Selection()
    duplicates: Duplicates = Duplicates()
    subpopulations: Subpopulations = Subpopulations()
    review: Review = Review()
    recipes: dict[Name, Recipe] = Field({}, validate_default=True)
    trials: int = key(
        100, rebuilds="the new models, Table 2 and everything that shows it", ge=1, le=1_000_000
    )
    """Models per arm of Table 2."""
    statistics: Statistics = Statistics()
    plan: Plan = Plan()
    sweeps: Sweeps = Sweeps()
    removals: dict[Name, Location] = key(
        {}, rebuilds="the new rows", allowed="a mapping of names to files"
    )
    """Lists of examples of your own to remove, `{name: file}`; a file has one training index (from
    0) per line. Each list gets a row in Table 2 and a matched random control."""
    external: dict[Name, Location] = key(
        {}, rebuilds="external.csv when requested", allowed="a mapping of names to files"
    )
    """Scores or data attributions of other methods to judge, `{name: file}`: .npy or .npz, one
    number per training example, or training x test examples. A target of its own: `snakemake
    external` ([how](#scores-of-other-methods))."""
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
