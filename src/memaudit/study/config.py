"""What follows from a configuration: the arms of Table 2, their models, the jobs they come in."""

from pathlib import Path
from typing import Any

from memaudit import store
from memaudit.data.longtail import LongTail
from memaudit.errors import AuditError
from memaudit.models.removals import CONTROL

BUCKETS = ("leakage_shift", "memorized")
LISTED = ("selected", *BUCKETS)
# What the names of recipes and removals of a sweep begin with (`memaudit.study.sweeps`).
WEIGHT_DECAY, ABOVE = "weight_decay_", "above_"
CIFAR_TRAIN = 50_000

Config = dict[str, Any]


def claim(results: str | Path, dataset: str) -> None:
    """Write the dataset's name into the results folder, or find it there.

    Raises AuditError when the folder belongs to a study of another dataset: a configuration that
    forgets `results` would overwrite that.
    """
    note = Path(results) / "dataset.txt"
    owner = note.read_text(encoding="utf-8").strip() if note.exists() else dataset
    if owner != dataset:
        raise AuditError(
            f"results = {str(results)!r}: this folder holds the study of the dataset {owner!r}, "
            f"this one is of {dataset!r}. Set results to a folder of its own, such as "
            f"results/{dataset}; or, to write over the other, delete {note}"
        )
    if not note.exists():
        with store.atomic_write(note) as temporary:
            temporary.write_text(f"{dataset}\n", encoding="utf-8")


def n_train(config: Config) -> int | None:
    """Training examples of the configured dataset, None where only the images tell."""
    dataset = config["dataset"]
    if dataset["kind"] == "longtail":
        settings = LongTail(**dataset["longtail"])
        return settings.classes * settings.train_per_class()
    return None if dataset["kind"] == "image_folder" else CIFAR_TRAIN


def listed_removals(config: Config) -> list[str]:
    """Names of the removals that are lists of examples: the study's own, then the user's."""
    return [*LISTED, *config.get("removals", {})]


def arms(config: Config) -> list[tuple[str, str]]:
    """(recipe, removal) of every row of Table 2, in order: the paper's four, then the controls.

    The user's own removals follow, with their controls.
    """
    paper = [("original", "selected"), *(("weight_decay", removal) for removal in LISTED)]
    controls = [(recipe, CONTROL + removal) for recipe, removal in paper]
    own = [("weight_decay", name) for name in config.get("removals", {})]
    return paper + controls + [arm for r, name in own for arm in ((r, name), (r, CONTROL + name))]


def table2_arms(config: Config) -> list[tuple[str, str]]:
    """(recipe, removal) of every arm of Table 2: each recipe's models on all examples, the rows."""
    rows = arms(config)
    return [(recipe, "none") for recipe in dict.fromkeys(recipe for recipe, _ in rows)] + rows


def models_of(config: Config, recipe: str, removal: str) -> int:
    """Models of one recipe and removal: of the subsets, of an arm of Table 2, or of a sweep."""
    if removal == "subset":
        return config["memorization"]["models"]
    is_in_table = (recipe, removal) in table2_arms(config)
    return config["trials"] if is_in_table else config["sweeps"]["trials"]


def chunks(models: int, per_job: int) -> list[str]:
    """Names of the shards of trials 0 to `models` - 1, `per_job` in each: "000000-000049"."""
    return [
        f"{first:06d}-{min(first + per_job, models) - 1:06d}" for first in range(0, models, per_job)
    ]


def trials_of(chunk: str) -> range:
    """The trials of a chunk, from its name."""
    first, last = chunk.split("-")
    return range(int(first), int(last) + 1)
