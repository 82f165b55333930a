"""Sweeps beside the study: which recipes, removals and models they are made of.

Over weight decay: recipes that differ from `weight_decay` in it alone. Over thresholds of
memorization: removals of all examples at or above one (Feldman & Zhang's figure 2). Memorization
scored under another recipe than the one that selects.
"""

from typing import Any

import numpy as np

from memaudit.models.removals import CONTROL
from memaudit.study import config as settings

Config = dict[str, Any]
Arms = list[tuple[str, str]]

WEIGHT_DECAY, ABOVE = settings.WEIGHT_DECAY, settings.ABOVE


def in_digits(value: float) -> str:
    """A number as it stands in names: the fewest digits that tell it, without an exponent."""
    return np.format_float_positional(value, trim="-")


def decayed(config: Config) -> dict[str, str]:
    """The recipe of each value of `sweeps.weight_decay`, by the value's digits.

    `weight_decay` with that weight decay: a configured recipe that is the same, so that no model is
    trained twice, or else a recipe of its own, `weight_decay_<value>`.
    """
    found = {}
    for value in config["sweeps"]["weight_decay"]:
        wanted = config["recipes"]["weight_decay"] | {"weight_decay": value}
        same = (name for name, recipe in config["recipes"].items() if recipe == wanted)
        found[in_digits(value)] = next(same, WEIGHT_DECAY + in_digits(value))
    return found


def recipes(config: Config) -> dict[str, dict[str, Any]]:
    """The settings of every recipe there is, configured or of a sweep, by name."""
    derived = {
        name: config["recipes"]["weight_decay"] | {"weight_decay": float(value)}
        for value, name in decayed(config).items()
    }
    return derived | config["recipes"]


def above(config: Config) -> dict[str, str]:
    """The removal of each value of `sweeps.thresholds`, by the value's digits."""
    values = map(in_digits, config["sweeps"]["thresholds"])
    return {value: ABOVE + value for value in values}


def other_recipe(config: Config) -> str:
    """The recipe under which examples are scored again: `weight_decay`, or the one that it is not."""
    return "original" if config["memorization"]["recipe"] == "weight_decay" else "weight_decay"


def weight_decay_rows(config: Config) -> list[tuple[str, str, str]]:
    """(value, recipe, removal) of the weight decay sweep, the controls after their removal."""
    return [
        (value, recipe, removal)
        for value, recipe in decayed(config).items()
        for removal in ("selected", f"{CONTROL}selected")
    ]


def threshold_rows(config: Config) -> list[tuple[str, str, str]]:
    """(value, recipe, removal) of the threshold sweep, the controls after their removal."""
    return [
        (value, recipe, removal)
        for recipe in config["sweeps"]["recipes"]
        for value, name in above(config).items()
        for removal in (name, CONTROL + name)
    ]


def arms(rows: list[tuple[str, str, str]]) -> Arms:
    """The arms that the rows of a sweep need: each recipe's models on all examples first."""
    everything = [(recipe, "none") for recipe in dict.fromkeys(recipe for _, recipe, _ in rows)]
    return everything + [(recipe, removal) for _, recipe, removal in rows]


def lacking(config: Config) -> dict[str, str]:
    """The sweeps that the source of the scores does not allow, and what they need."""
    source = config["memorization"]["source"]
    needs = {}
    if source != "estimate":
        needs["rescored"] = "the subset models: set memorization.source to estimate"
    if source == "published":
        needs["threshold_curve"] = (
            "the memorization of all examples: set memorization.source to estimate, "
            "published_matrix or published_runs"
        )
    return needs


def models(config: Config) -> dict[str, dict[tuple[str, str], int]]:
    """Models of each (recipe, removal) of every sweep that can be made, the study's among them."""
    found = {
        "weight_decay": arms(weight_decay_rows(config)),
        "rescored": [
            (config["memorization"]["recipe"], "subset"),
            (other_recipe(config), "subset"),
        ],
        "threshold_curve": arms(threshold_rows(config)),
    }
    return {
        sweep: {arm: settings.models_of(config, *arm) for arm in needed}
        for sweep, needed in found.items()
        if sweep not in lacking(config)
    }
