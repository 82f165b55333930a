"""A study as configured: its arms, models, files and sweeps."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.models.removals import CONTROL
from memaudit.models.shards import chunk_names
from memaudit.study.config import ABOVE, LISTED, WEIGHT_DECAY
from memaudit.study.inputs import Files, Inputs

Arm = tuple[str, str]

FIGURES = ("influence", "most_memorized", "memorization", "drops", "similarity")
EXAMPLE_FIGURES = ("exact_duplicates", "near_duplicates", "subpopulations")


@dataclass(frozen=True)
class Sweep:
    """A sweep: its rows (value, recipe, removal), the arms they need, and what it lacks.

    `lacks` is empty if the sweep can be run with the configured source of the scores.
    """

    name: str
    rows: list[tuple[str, str, str]]
    arms: list[Arm]
    lacks: str = ""


class Study(Inputs):
    """What follows from a configuration; paths are relative to the working folder."""

    @property
    def results(self) -> str:
        """The folder of the results."""
        return self.config.results.rstrip("/")

    # --- scores -----------------------------------------------------------------------------------

    @property
    def trains_subsets(self) -> bool:
        """Whether the scores are estimated by subset models trained here."""
        return self.config.memorization.source == "estimate"

    @property
    def scored(self) -> str:
        """The name of the scores by which examples are selected: a recipe, or their source."""
        memorization = self.config.memorization
        return memorization.recipe if self.trains_subsets else memorization.source

    @property
    def scores(self) -> str:
        """The file of these scores; that of F&Z's published pairs has no other influences."""
        return f"{self.results}/scores/{self.scored}.h5"

    # --- arms and their models --------------------------------------------------------------------

    @property
    def rows(self) -> list[Arm]:
        """(recipe, removal) of every row of Table 2, in order.

        The paper's four, their controls, then the user's removals, each with its control.
        """
        paper = [("original", "selected"), *(("weight_decay", removal) for removal in LISTED)]
        controls = [(recipe, CONTROL + removal) for recipe, removal in paper]
        own = [(f"{control}{name}") for name in self.config.removals for control in ("", CONTROL)]
        return paper + controls + [("weight_decay", removal) for removal in own]

    @property
    def paper_rows(self) -> list[Arm]:
        """The paper's rows of Table 2."""
        return self.rows[:4]

    @property
    def arms(self) -> list[Arm]:
        """(recipe, removal) of every arm of Table 2: its recipes on all examples, then its rows."""
        return self.full_arms + self.rows

    @property
    def full_arms(self) -> list[Arm]:
        """The arms of Table 2 that are trained on all examples."""
        return _full(recipe for recipe, _ in self.rows)

    @cached_property
    def recipes(self) -> dict[str, dict[str, Any]]:
        """The settings of every recipe, configured or of a sweep, by name."""
        configured: dict[str, dict[str, Any]] = self.settings["recipes"]
        base = configured["weight_decay"]
        derived = {
            name: base | {"weight_decay": float(value)}
            for value, name in self.weight_decay_recipes.items()
        }
        return derived | configured

    def n_models(self, recipe: str, removal: str) -> int:
        """Models of an arm of Table 2 or of a sweep, or of the subsets."""
        if removal == "subset":
            return self.config.memorization.models
        is_in_table = (recipe, removal) in self.arms
        return self.config.trials if is_in_table else self.config.sweeps.trials

    @property
    def models(self) -> dict[Arm, int]:
        """Models of each (recipe, removal) of the study, without sweeps."""
        subsets = [(self.scored, "subset")] if self.trains_subsets else []
        return {arm: self.n_models(*arm) for arm in subsets + self.arms}

    @cached_property
    def jobs(self) -> dict[str, int]:
        """Models per job of each recipe, as recorded; `plan.size_jobs` adds what is missing."""
        path = self._jobs_file
        try:
            recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            return {str(recipe): max(1, int(number)) for recipe, number in recorded.items()}
        except (AttributeError, TypeError, ValueError):
            raise AuditError(
                f"{path}: not a list of the models per job of each recipe; delete it to have the "
                "numbers chosen again"
            ) from None

    @property
    def _jobs_file(self) -> Path:
        return Path(self.results) / "models_per_job.json"

    def record_jobs(self) -> None:
        """Record `jobs`, so that shards keep their names when the estimate changes."""
        store.write_text(self._jobs_file, json.dumps(self.jobs, indent=1) + "\n")

    def models_per_job(self, recipe: str) -> int:
        """Models that a job of a recipe trains: as configured, or for "auto" as in `jobs`."""
        wanted = self.config.training.models_per_job
        return self.jobs.get(recipe, 1) if wanted == "auto" else wanted

    def shards(self, recipe: str, removal: str) -> list[str]:
        """The shards of all models of one recipe and removal."""
        chunks = chunk_names(self.n_models(recipe, removal), self.models_per_job(recipe))
        return [f"{self.results}/models/{recipe}/{removal}/{chunk}.h5" for chunk in chunks]

    def shards_by_arm(self, arms: Iterable[Arm]) -> dict[str, list[str]]:
        """The shards of several arms, by "recipe/removal"."""
        return {f"{recipe}/{removal}": self.shards(recipe, removal) for recipe, removal in arms}

    def shards_of(self, arms: Iterable[Arm]) -> list[str]:
        """The shards of several arms."""
        return [path for paths in self.shards_by_arm(arms).values() for path in paths]

    def removal_list(self, removal: str) -> Files:
        """The list of examples that a removal, or the control of one, depends on."""
        name = removal.removeprefix(CONTROL)
        if name in ("none", "subset"):
            return []
        return self.config.removals.get(name, f"{self.results}/removals/{name}.txt")

    def removal_lists(self, arms: Iterable[Arm]) -> list[str]:
        """The lists that several arms depend on."""
        return sorted({str(self.removal_list(r)) for _, r in arms if self.removal_list(r)})

    def gathered(self, arms: list[Arm]) -> dict[str, Any]:
        """What is needed to read and check the models of some arms."""
        return {
            "arms": [(*arm, self.n_models(*arm)) for arm in arms],
            "shards": self.shards_by_arm(arms),
            "lists": {removal: self.removal_list(removal) for _, removal in arms},
            "recipes": {recipe: self.recipes[recipe] for recipe, _ in arms},
            "seed": self.config.seed,
        }

    # --- sweeps -----------------------------------------------------------------------------------

    @property
    def weight_decay_recipes(self) -> dict[str, str]:
        """The recipe for each value of `sweeps.weight_decay`, by the digits of the value.

        A configured recipe with the same settings, so that no model is trained twice, or else a
        recipe of its own, `weight_decay_<value>`.
        """
        configured = self.settings["recipes"]
        found = {}
        for value in self.config.sweeps.weight_decay:
            wanted = configured["weight_decay"] | {"weight_decay": value}
            same = (name for name, recipe in configured.items() if recipe == wanted)
            found[_digits(value)] = next(same, WEIGHT_DECAY + _digits(value))
        return found

    @property
    def threshold_removals(self) -> dict[str, str]:
        """The removal for each value of `sweeps.thresholds`, by the digits of the value."""
        values = map(_digits, self.config.sweeps.thresholds)
        return {value: ABOVE + value for value in values}

    @property
    def other_recipe(self) -> str:
        """The recipe under which the sweep `rescored` estimates memorization again."""
        is_decay = self.config.memorization.recipe == "weight_decay"
        return "original" if is_decay else "weight_decay"

    @property
    def rescored_recipes(self) -> dict[str, dict[str, Any]]:
        """The settings of the two recipes that the sweep `rescored` compares."""
        names = self.config.memorization.recipe, self.other_recipe
        return {name: self.recipes[name] for name in names}

    @cached_property
    def sweeps(self) -> dict[str, Sweep]:
        """All sweeps, by name, also those that lack something."""
        decay = [
            (value, recipe, removal)
            for value, recipe in self.weight_decay_recipes.items()
            for removal in ("selected", f"{CONTROL}selected")
        ]
        thresholds = [
            (value, recipe, removal)
            for recipe in self.config.sweeps.recipes
            for value, name in self.threshold_removals.items()
            for removal in (name, CONTROL + name)
        ]
        subsets = [(recipe, "subset") for recipe in self.rescored_recipes]
        no_models = "the subset models: set memorization.source to estimate"
        found = (
            Sweep("weight_decay", decay, _arms_of(decay)),
            Sweep("rescored", [], subsets, "" if self.trains_subsets else no_models),
            Sweep("threshold_curve", thresholds, _arms_of(thresholds)),
        )
        return {sweep.name: sweep for sweep in found}

    @property
    def possible_sweeps(self) -> list[str]:
        """The names of the sweeps that lack nothing."""
        return [sweep.name for sweep in self.sweeps.values() if not sweep.lacks]

    # --- targets ----------------------------------------------------------------------------------

    @property
    def targets(self) -> list[str]:
        """What plain `snakemake` makes."""
        names = ["table2.csv", "table2.md", "summary.md", "report/table2.html", "affected.csv"]
        names += ["review/index.html", "figures/learning_curves.png", "figures/affected.png"]
        names += [f"figures/{figure}.png" for figure in FIGURES + EXAMPLE_FIGURES]
        if self.trains_subsets:
            names += [f"scores/{self.scored}_fz.npz", "reliability.csv", "figures/reliability.png"]
        if self.config.memorization.influence == "all_pairs":
            names.append(f"scores/{self.scored}_all_pairs.h5")
        if self.is_synthetic:
            names.append("planted.csv")
        if self.cifair:
            names.append("agreement.csv")
        return [f"{self.results}/{name}" for name in names]


def _digits(value: float) -> str:
    """A number as used in names: its shortest digits, without an exponent."""
    return np.format_float_positional(value, trim="-")


def _full(recipes: Iterable[str]) -> list[Arm]:
    return [(recipe, "none") for recipe in dict.fromkeys(recipes)]


def _arms_of(rows: list[tuple[str, str, str]]) -> list[Arm]:
    """The arms that the rows of a sweep need: each recipe on all examples first."""
    arms = [(recipe, removal) for _, recipe, removal in rows]
    return _full(recipe for recipe, _ in arms) + arms
