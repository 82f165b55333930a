"""The configuration, checked before anything runs.

Two kinds of check: the schema (`config/schema.yaml`: unknown keys, types, ranges) and what a schema
cannot say (references between keys, sizes against the dataset). Every message names the key, its
value and what is allowed.
"""

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from memaudit.buckets.decisions import read_decisions
from memaudit.data.longtail import LongTail
from memaudit.errors import AuditError
from memaudit.models.removals import CONTROL, block_size, read_examples
from memaudit.study.config import ABOVE, LISTED, WEIGHT_DECAY, Config, n_train
from memaudit.study.plan import count_images

PUBLISHED_THRESHOLDS = {"memorization": 0.25, "influence": 0.15}
# Folders beside the Snakefile in which a study must not write its results.
NOT_RESULTS = (
    *("benchmarks", "config", "data", "docs", "envs", "profiles", "slurm", "src", "tests"),
    "workflow",
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def check(config: Config, schema: str | Path) -> None:
    """Check `config` and bring it, in place, into one form.

    5e-4, which YAML reads as text, becomes a number, as does every value that Snakemake makes of
    `--config training='{max_hours: 3}'`; 0, 0.0 and -0.0 become the same, keys come in the schema's
    order.

    Two ways of writing one study are one study then, and nothing is made anew between them. Raises
    AuditError with a line for each thing that is wrong.
    """
    rules = yaml.safe_load(Path(schema).read_text(encoding="utf-8"))
    _mend_text(config, rules)
    validator = jsonschema.Draft202012Validator(rules)
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))
    problems = [line for error in errors for line in _explain(error)] + _no_value(config)
    if not problems:
        _one_form(config, rules)
        problems = _cross_checks(config)
    if problems:
        raise AuditError(
            "the configuration is not valid:\n" + "\n".join(f"  {p}" for p in problems)
        )


def check_files(paths: Iterable[str | Path]) -> None:
    """Raise AuditError when a configuration file has a key twice: YAML would take the last."""
    for path in paths:
        try:
            root = yaml.compose(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue  # whoever reads it for its content says so
        for names, line in _twice(root):
            raise AuditError(
                f"{path}, line {line}: the key {_key(names)} is there twice; only the last would "
                "count. Make one of the two"
            )


def _twice(node: yaml.Node | None, path: tuple = ()) -> Iterator[tuple[tuple, int]]:
    """(keys, line) of every key that is in a mapping a second time."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                yield (*path, name), key.start_mark.line + 1
            seen.add(name)
            yield from _twice(value, (*path, name))


def _mend_text(node: Any, rules: dict) -> Any:
    """The value that a text stands for where the schema wants none; changes `node` in place."""
    if isinstance(node, dict):
        other = rules.get("additionalProperties") or {}
        for key, value in node.items():
            node[key] = _mend_text(value, rules.get("properties", {}).get(key, other))
    if isinstance(node, list):
        node[:] = [_mend_text(value, rules.get("items", {})) for value in node]
    kinds = rules.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(node, str):
        if "null" in kinds and node in ("null", "~"):
            return None
        if "boolean" in kinds and node in ("true", "false", "yes", "no"):
            return node in ("true", "yes")
        if {"number", "integer"} & {*kinds} and _NUMBER.fullmatch(node):
            return float(node)
    return node


def _no_value(node: Any, path: tuple = ()) -> list[str]:
    """What no key may be: a number that is none, a text of several lines."""
    if isinstance(node, float) and not math.isfinite(node):
        return [f"{_key(path)} = {node}: must be a finite number"]
    if isinstance(node, str) and not node.isprintable():
        return [f"{_key(path)} = {node!r}: line breaks and control characters are not allowed"]
    if not isinstance(node, dict | list):
        return []
    if isinstance(node, dict) and (names := [name for name in node if not isinstance(name, str)]):
        return [f"{_key((*path, name))}: the key {name!r} must be a text" for name in names]
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return [line for key, value in items for line in _no_value(value, (*path, key))]


def _one_form(node: Any, rules: dict) -> Any:
    """The value as the schema means it: numbers of the stated kind, keys in the stated order."""
    kinds = rules.get("type", [])
    if isinstance(node, dict):
        known = rules.get("properties", {})
        other = rules.get("additionalProperties") or {}
        ordered = sorted(node, key=list(known).index) if known else list(node)
        values = {key: _one_form(node[key], known.get(key, other)) for key in ordered}
        node.clear()
        node.update(values)
    elif isinstance(node, list):
        node[:] = [_one_form(value, rules.get("items", {})) for value in node]
    elif isinstance(node, int | float) and not isinstance(node, bool):
        if "integer" in kinds:
            return int(node)
        if "number" in kinds:
            return float(node) + 0.0  # makes 0.0 of -0.0
    return node


def _key(path) -> str:
    return ".".join(map(str, path)) or "(top level)"


def _explain(error: jsonschema.ValidationError) -> list[str]:
    """A line, or several, for one violation of the schema: key, value, what is allowed."""
    key, value, rule = _key(error.absolute_path), error.instance, error.validator_value
    match error.validator:
        case "additionalProperties":
            known = sorted(error.schema.get("properties", {}))
            unknown = sorted(set(value) - set(known), key=str)
            where = "" if not error.absolute_path else f"{key}."
            return [
                f"{where}{name} = {value[name]!r}: there is no such key; "
                f"{'the keys here are' if where else 'the keys are'} {', '.join(known)}"
                for name in unknown
            ]
        case "required":
            name = re.match(r"'(.*)' is a required", error.message)[1]
            where = "" if not error.absolute_path else f"{key}."
            return [f"{where}{name} is missing"]
        case "enum":
            return [f"{key} = {value!r}: must be one of {', '.join(map(str, rule))}"]
        case "type":
            allowed = rule if isinstance(rule, str) else " or ".join(rule)
            return [f"{key} = {value!r}: must be of type {allowed}"]
        case "minimum":
            return [f"{key} = {value!r}: must be at least {rule}{_upper(error.schema)}"]
        case "maximum":
            return [f"{key} = {value!r}: must be at most {rule}{_lower(error.schema)}"]
        case "exclusiveMinimum":
            return [f"{key} = {value!r}: must be greater than {rule}"]
        case "exclusiveMaximum":
            return [f"{key} = {value!r}: must be less than {rule}{_lower(error.schema)}"]
        case "pattern" if "{" in rule:
            return [f"{key} = {value!r}: braces are not allowed in a path; rename the file"]
        case "pattern":
            allowed = (
                "letters, digits and _" if rule == "^[A-Za-z0-9_]+$" else "letters, digits, ._-"
            )
            allowed += ", and / between folders of a relative path" if "/" in rule else ""
            return [f"{_named(error)}: only {allowed} are allowed, no blanks"]
        case "maxLength":
            return [f"{_named(error)}: must have at most {rule} characters"]
        case _:
            return [f"{key} = {value!r}: {error.message}"]


def _named(error: jsonschema.ValidationError) -> str:
    """The key and its value, or the name of a key where that is what is wrong."""
    key, is_name = _key(error.absolute_path), "propertyNames" in error.absolute_schema_path
    return f"{key}: the name {error.instance!r}" if is_name else f"{key} = {error.instance!r}"


def _upper(schema: dict) -> str:
    return f" and at most {schema['maximum']}" if "maximum" in schema else ""


def _lower(schema: dict) -> str:
    return f" and at least {schema['minimum']}" if "minimum" in schema else ""


def _cross_checks(config: Config) -> list[str]:
    problems = _results_problems(config["results"])
    memorization, recipes = config["memorization"], config["recipes"]
    if memorization["recipe"] not in recipes:
        problems.append(
            f"memorization.recipe = {memorization['recipe']!r}: must be a name under recipes "
            f"({', '.join(recipes)})"
        )
    problems += _sweep_problems(config)
    fraction = memorization["subset_fraction"]
    parts, kept = block_size(fraction)
    if abs(kept / parts - fraction) > 1e-9:
        problems.append(
            f"memorization.subset_fraction = {fraction}: must have at most two decimals "
            f"({fraction:.2f} would do)"
        )
    elif memorization["models"] < parts:
        problems.append(
            f"memorization.models = {memorization['models']}: must be at least {parts}; with "
            f"subset_fraction {fraction} it takes {parts} models to leave every example out"
        )
    near, review = config["duplicates"]["near"], config["duplicates"]["review"]
    if review > near:
        problems.append(f"duplicates.review = {review}: must be at most duplicates.near ({near})")
    problems += _dataset_problems(config["dataset"])
    problems += _source_problems(config)
    if not problems:
        problems += _size_problems(config)
    return problems


def _results_problems(results: str) -> list[str]:
    """A results folder outside the working folder, or among what is not results."""
    parts = Path(results).parts
    if not parts or ".." in parts:
        where = "the working folder itself" if not parts else "outside the working folder"
    elif parts[0] in NOT_RESULTS or parts[0].startswith("."):
        where = f"the folder {parts[0]!r}, which holds other things"
    else:
        return []
    return [
        f"results = {results!r}: this is {where}; give results a folder of its own in the working "
        "folder, such as results/mine (it may be a link to another disk)"
    ]


def _sweep_problems(config: Config) -> list[str]:
    """Recipes that a sweep names and there are not, and names that it keeps for its own."""
    recipes = config["recipes"]
    problems = [
        f"sweeps.recipes = {name!r}: must be names under recipes ({', '.join(recipes)})"
        for name in config["sweeps"]["recipes"]
        if name not in recipes
    ]
    problems += [
        f"recipes.{name}: names that begin with {WEIGHT_DECAY} are those of the sweep over weight "
        "decay; give it another"
        for name in recipes
        if name.startswith(WEIGHT_DECAY)
    ]
    return problems


def _source_problems(config: Config) -> list[str]:
    """What does not go together with published scores."""
    memorization, selection = config["memorization"], config["selection"]
    source, kind, path = memorization["source"], config["dataset"]["kind"], memorization.get("path")
    problems = []
    if source in ("published", "published_matrix") and kind != "cifar100":
        problems.append(
            f"memorization.source = {source!r}: F&Z's scores are of cifar100, dataset.kind is "
            f"{kind!r}; set memorization.source to estimate"
        )
    if source == "published_runs" and not path:
        problems.append("memorization.path = None: must name the folder of the released runs")
    elif source == "published_runs" and not Path(path).is_dir():
        problems.append(f"memorization.path = {path!r}: must be a folder, there is none")
    elif source == "published_matrix" and path and not Path(path).is_file():
        problems.append(f"memorization.path = {path!r}: must be a file, there is none")
    elif source in ("published", "estimate") and path:
        problems.append(
            f"memorization.path = {path!r}: memorization.source {source} does not read it; set it "
            "to null, or memorization.source to published_matrix or published_runs"
        )
    if memorization["influence"] == "all_pairs" and source != "estimate":
        problems.append(
            f"memorization.influence = 'all_pairs': takes subset models; memorization.source is "
            f"{source!r}: set that to estimate, or this to within_class"
        )
    if source == "published":
        for key, least in PUBLISHED_THRESHOLDS.items():
            if selection[key] < least:
                problems.append(
                    f"selection.{key} = {selection[key]}: F&Z published only pairs from {least} "
                    "on; raise it, or take memorization.source published_matrix or estimate"
                )
    return problems


def _dataset_problems(dataset: Config) -> list[str]:
    kind = dataset["kind"]
    if dataset["name"] in ("cifar10", "cifar100") and dataset["name"] != kind:
        return [f"dataset.name = {dataset['name']!r}: give a dataset of kind {kind} another name"]
    if kind == "image_folder" and not dataset.get("image_folder", {}).get("path"):
        return [
            "dataset.image_folder.path = None: must name the folder that holds train/<class>/* and "
            "test/<class>/*"
        ]
    if kind == "image_folder" and not Path("data", f"{dataset['name']}.h5").exists():
        path = dataset["image_folder"]["path"]
        if not Path(path).is_dir():
            return [f"dataset.image_folder.path = {path!r}: must be a folder, there is none"]
    if kind == "longtail":
        given = dataset.get("longtail", {})
        wanted = LongTail.__dataclass_fields__
        return [f"dataset.longtail.{name} is missing" for name in wanted if name not in given]
    return []


def _decisions_problems(path: str) -> list[str]:
    if not Path(path).is_file():
        return [f"review.decisions = {path!r}: must be a file, there is none"]
    try:
        read_decisions(path)
    except AuditError as error:
        return [f"review.decisions = {path!r}: {error}"]
    return []


def _size_problems(config: Config) -> list[str]:
    problems = []
    n, removals = n_train(config), config.get("removals", {})
    if n is None and removals:
        n = count_images(config["dataset"]["image_folder"], "train") or None
    if path := config["review"]["decisions"]:
        problems += _decisions_problems(path)
    for name, path in removals.items():
        if name in (*LISTED, "none", "subset") or name.startswith((CONTROL, ABOVE)):
            problems.append(
                f"removals.{name} = {path!r}: the name is taken; names of removals of your own are "
                f"other than none, subset, {', '.join(LISTED)} and do not begin with {CONTROL} or "
                f"{ABOVE}"
            )
            continue
        if not Path(path).is_file():
            problems.append(f"removals.{name} = {path!r}: must be a file, there is none")
            continue
        try:
            examples = read_examples(path, n)
        except AuditError as error:
            problems.append(f"removals.{name} = {path!r}: {error}")
            continue
        if not len(examples):
            problems.append(
                f"removals.{name} = {path!r}: the list is empty; write the train indices to remove "
                "into it, one a line, or take the key out"
            )
    if n is not None and n < (parts := block_size(config["memorization"]["subset_fraction"])[0]):
        problems.append(
            f"dataset: {n} training examples are too few; it takes {parts} or more to leave "
            f"{config['memorization']['subset_fraction']} in"
        )
    return problems
