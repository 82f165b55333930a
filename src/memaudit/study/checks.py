"""Checks of a configuration: its types and ranges, and what these cannot express."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from memaudit.buckets.decisions import read_decisions
from memaudit.data.arrays import ArrayFile
from memaudit.data.dataset import count_written, read_settings
from memaudit.data.image_folder import SIDES, count_images, folder_at, no_folder
from memaudit.errors import AuditError
from memaudit.models.network_names import NETWORKS, source_path
from memaudit.models.removals import CONTROL, block_size, read_examples
from memaudit.study.config import ABOVE, LISTED, TOP, WEIGHT_DECAY, Config
from memaudit.study.config.dataset import Dataset
from memaudit.study.config.selection import Duplicates
from memaudit.study.images import n_images
from memaudit.study.schema import explain_all, key_name

RENAMED_RECIPES = {"converged": "weight_decay"}
PUBLISHED_THRESHOLDS = {"memorization": 0.25, "influence": 0.15}
# Folders of the working folder in which a study must not write its results.
NOT_RESULTS = (
    *("benchmarks", "config", "data", "docs", "envs", "profiles", "slurm", "src", "tests"),
    "workflow",
)


def read_config(given: Mapping[str, Any]) -> Config:
    """Check a configuration; keys that are not given have the paper's values.

    Numbers and null may be text, as YAML reads 5e-4 and as Snakemake passes `--config`. Raises
    AuditError with one line for each problem: the key, its value and what is allowed.
    """
    problems = list(_old_names(given))
    try:
        if not problems:
            config = Config.model_validate(dict(given))
            problems = _problems(config)
    except ValidationError as error:
        problems = explain_all(error.errors(), Config.model_json_schema())
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise AuditError(f"the configuration is not valid:\n{lines}")
    return config


def _old_names(given: Mapping[str, Any]) -> Iterator[str]:
    """Old names of recipes, which are looked for before the keys of the recipes are checked."""
    for section, key in (("", "recipes"), ("memorization", "recipe"), ("sweeps", "recipes")):
        found = given.get(section) if section else given
        names = found.get(key) if isinstance(found, Mapping) else None
        for name in [names] if isinstance(names, str) else names or ():
            if isinstance(name, str) and name in RENAMED_RECIPES:
                where = f"{section}.{key} = {name!r}" if section else f"{key}.{name}"
                yield f"{where}: this recipe is now called {RENAMED_RECIPES[name]}; rename it"


def check_files(paths: Iterable[str | Path]) -> None:
    """Raise AuditError for a file that is not a mapping in YAML, or that has a key twice.

    Snakemake does not name the file, and YAML would take the last of two equal keys.
    """
    for path in paths:
        try:
            root = yaml.compose(Path(path).read_text(encoding="utf-8"))
        except OSError:
            continue  # reported by the reader of its content
        except UnicodeDecodeError:
            raise AuditError(f"{path}: not UTF-8 text; save the file in UTF-8") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f", line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "unexpected character"
            raise AuditError(f"{path}{where}: not valid YAML ({problem})") from None
        if not isinstance(root, yaml.MappingNode):
            raise AuditError(f"{path}: no keys; a configuration has lines such as `trials: 12`")
        for names, line in _duplicate_keys(root):
            raise AuditError(f"{path}, line {line}: duplicate key {key_name(names)}; remove one")


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


def _problems(config: Config) -> list[str]:
    """Problems between keys, then those with the files that keys name."""
    between = [
        *_results_problems(config),
        *_recipe_problems(config),
        *_memorization_problems(config),
        *_duplicates_problems(config.duplicates),
        *_dataset_problems(config.dataset),
        *_source_problems(config),
        *_external_problems(config),
    ]
    return between or [*_decisions_problems(config.review.decisions), *_size_problems(config)]


def _results_problems(config: Config) -> Iterator[str]:
    """A results folder outside the working folder, or among other files of it or the images."""
    results, source = config.results, config.dataset.image_folder.path
    parts = Path(results).parts
    used = Path(results).absolute()
    files = [place.name for place in (used, *used.parents) if place.is_file()]
    is_folder = config.dataset.kind == "image_folder"
    sides = [folder_at(source).absolute() / side for side in SIDES if is_folder] if source else []
    if not parts:
        where = "the working folder itself"
    elif ".." in parts:
        where = "outside the working folder"
    elif parts[0] in NOT_RESULTS or parts[0].startswith("."):
        where = f"the folder {parts[0]!r}, which holds other files"
    elif files:
        where = f"in the file {files[0]!r}" if used.name != files[0] else "a file"
    elif any(side in (used, *used.parents) or used in side.parents for side in sides):
        where = f"among or around the images of {source}"
    else:
        return
    yield (
        f"results = {results!r}: this is {where}; use a folder of its own, such as results/mine "
        "(it may be a link to another disk)"
    )


def _recipe_problems(config: Config) -> Iterator[str]:
    """Recipes with a reserved name, and names of recipes that do not exist."""
    names = ", ".join(config.recipes)
    for name in config.recipes:
        if name.startswith(WEIGHT_DECAY):
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
        if name not in config.recipes:
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
            f"({duplicates.near}); lower it, too"
        )
    if ":" in (duplicates.embedding or ""):
        try:
            source_path(str(duplicates.embedding), what="embedding")
        except AuditError as error:
            yield f"duplicates.embedding: {error}"


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
        yield "memorization.path = null: must be the folder of the released runs"
    elif source == "published_runs" and path and not Path(path).is_dir():
        yield f"memorization.path = {path!r}: directory not found"
    elif source == "published_matrix" and path and not Path(path).is_file():
        yield f"memorization.path = {path!r}: file not found"
    elif source in ("published", "estimate") and path:
        yield (
            f"memorization.path = {path!r}: not used with memorization.source {source}; set it to "
            "null, or memorization.source to published_matrix or published_runs"
        )
    wants_margins = source == "estimate" and memorization.estimator == "margins"
    if wants_margins and not memorization.store_margins:
        yield (
            "memorization.store_margins = false: memorization.estimator margins needs them; set it "
            "to true, or memorization.estimator to difference"
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


def _external_problems(config: Config) -> Iterator[str]:
    """Scores of other methods that are not there, or that have the names of our own."""
    for name, path in config.external.items():
        if name in ("margins", "difference"):
            yield f"external.{name}: the name is reserved; choose another name"
        elif not Path(path).is_file():
            yield f"external.{name} = {path!r}: file not found"


def _dataset_problems(dataset: Dataset) -> Iterator[str]:
    kind, path = dataset.kind, dataset.image_folder.path
    if dataset.name in ("cifar10", "cifar100") and dataset.name != kind:
        yield (
            f"dataset.name = {dataset.name!r}: reserved for that dataset; choose another name for "
            f"a dataset of kind {kind}"
        )
    elif kind == "image_folder" and not path:
        yield (
            "dataset.image_folder.path = null: must be the folder that holds train/<class>/* and "
            "test/<class>/*"
        )
    elif kind == "image_folder" and path and _reads_source(dataset):
        folder = folder_at(path)
        if not folder.is_dir():
            yield (
                f"dataset.image_folder.path = {path!r}: {no_folder(folder)}; it must be the folder "
                "that holds train/<class>/* and test/<class>/*, given from the working folder "
                f"({Path.cwd()}) or as an absolute path"
            )
        elif empty := [side for side in SIDES if not count_images(path, side, 1)]:
            yield (
                f"dataset.image_folder.path = {path!r}: no images in {empty[0]}/<class>/*; it must "
                "be the folder that holds train/<class>/* and test/<class>/*"
            )
    elif kind == "arrays":
        yield from _arrays_problems(dataset)
    elif kind in ("cifar100", "cifar10"):
        path = getattr(dataset, kind).path
        if path and not Path(path).expanduser().exists():
            yield f"dataset.{kind}.path = {path!r}: no such file or directory"
    elif kind == "longtail" and not dataset.longtail:
        yield "dataset.longtail is missing; dataset.kind longtail needs it"


def _reads_source(dataset: Dataset) -> bool:
    """Return whether a run reads the source of the images: their file is missing or outdated.

    A file without a record of its settings is not: an earlier version of memaudit wrote it.
    """
    path = Path("data", f"{dataset.name}.h5")
    if not path.exists():
        return True
    written = read_settings(path)
    return written not in ({}, {"kind": dataset.kind, **dataset.model_dump()[dataset.kind]})


def _arrays_problems(dataset: Dataset) -> Iterator[str]:
    settings = dataset.arrays
    if not settings.path:
        yield (
            "dataset.arrays.path = null: must be an .npz file with train_images, train_labels, "
            "test_images and test_labels"
        )
    elif _reads_source(dataset):
        try:
            ArrayFile(settings.path, settings.validation)
        except AuditError as error:
            yield f"dataset.arrays.path = {settings.path!r}{_after_path(error, settings.path)}"


def _after_path(error: AuditError, path: str) -> str:
    """The message of an error without the file with which it begins: ": ..."."""
    text = str(error)
    return text.removeprefix(path) if text.startswith(path) else f": {text}"


def _decisions_problems(path: str | None) -> Iterator[str]:
    if not path:
        return
    if not Path(path).is_file():
        yield f"review.decisions = {path!r}: file not found"
        return
    try:
        read_decisions(path)
    except AuditError as error:
        yield f"review.decisions = {path!r}{_after_path(error, path)}"


def _size_problems(config: Config) -> Iterator[str]:
    """Lists of examples, and subsets, that do not fit the dataset."""
    results = config.results.rstrip("/")
    tops = {f"{results}/removals/{TOP}{name}.txt" for name in config.external}
    dataset = config.dataset
    written = Path("data", f"{dataset.name}.h5")
    is_read = written.exists() and not _reads_source(dataset)
    if dataset.kind == "image_folder" and is_read and not config.removals:
        n = count_written(written)  # every job reads this; counting 100,000 files takes a second
    else:
        n = n_images(dataset, "train")
    for name, path in config.removals.items():
        key = f"removals.{name} = {path!r}"
        if name in (*LISTED, "none", "subset") or name.startswith((CONTROL, ABOVE)):
            yield (
                f"{key}: the name is reserved, as are none, subset, {', '.join(LISTED)} and names "
                f"that begin with {CONTROL} or {ABOVE}; choose another name"
            )
        elif path in tops:
            continue  # the workflow writes it
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
                yield f"{key}{_after_path(error, path)}"
    fraction = config.memorization.subset_fraction
    parts, _ = block_size(fraction)
    if n is None:
        return
    if n < parts:
        yield (
            f"dataset: {n} training examples are too few; subset_fraction {fraction} needs at "
            f"least {parts}"
        )
        return
    subset = config.memorization.recipe if config.memorization.source == "estimate" else None
    for name, recipe in config.recipes.items():
        most = int(n * fraction) if name == subset else n
        if recipe.batch_size > most:
            yield (
                f"recipes.{name}.batch_size = {recipe.batch_size}: more than the {most} examples "
                "on which a model of this recipe is trained; use a smaller batch, such as "
                f"{max(2, most // 4)}"
            )
