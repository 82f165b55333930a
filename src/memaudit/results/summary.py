"""A study on a page, to paste into an appendix: settings, counts, results, versions, citations."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from memaudit import __version__, bits
from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.data.dataset import Dataset
from memaudit.models.shards import reading_shard
from memaudit.templates import render

if TYPE_CHECKING:
    from memaudit.scores.reliability import Quantity

PACKAGES = ("torch", "numpy", "scipy", "h5py", "snakemake")


@dataclass(frozen=True)
class Trained:
    """The models of one recipe and removal.

    `removed` examples, None where it differs between models; `seconds` of training and evaluation
    of all models together; `fitted`: by trial, the percentage of its own training examples that
    the model predicts correctly.
    """

    recipe: str
    removal: str
    removed: int | None
    device: str
    seconds: float
    fitted: Mapping[int, float]

    @property
    def models(self) -> int:
        return len(self.fitted)

    @property
    def accuracy(self) -> float:
        return fmean(self.fitted.values())

    @property
    def failed(self) -> dict[int, float]:
        """The models that fit less than half of what the median model fits."""
        least = median(self.fitted.values()) / 2
        return {trial: value for trial, value in self.fitted.items() if value < least}


def trained(recipe: str, removal: str, shards: Sequence[str | Path], n_train: int) -> Trained:
    """Return how the models of one recipe and removal were trained, from their shards."""
    counts: set[int] = set()
    devices: set[str] = set()
    fitted: dict[int, float] = {}
    seconds = 0.0
    for path in shards:
        with reading_shard(path) as file:
            mask, trials = file["train_mask"][:], file["trial"][:].tolist()
            kept = bits.unpack(mask, n_train).sum(axis=1)
            right = bits.unpack(mask & file["train_correct"][:], n_train).sum(axis=1)
            counts |= {n_train - int(count) for count in kept}
            fitted |= zip(trials, (100 * right / kept).tolist(), strict=True)
            seconds += float(file["seconds"][:].sum())
            devices.update(file.attrs.get("device", "not recorded").split("; "))
    device = "; ".join(sorted(devices))
    removed = counts.pop() if len(counts) == 1 else None
    return Trained(recipe, removal, removed, device, seconds, fitted)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the summary quotes of a study: buckets, duplicates, pairs, answer and tables.

    `agreement` has the rows of reliability.csv; none if no subset models were trained.
    """

    assignments: Sequence[Assignment]
    leaks: Sequence[Leak]
    pairs: int
    answer: str
    table: str
    claims: str
    agreement: Sequence["Quantity"] = ()


def markdown(
    config: Mapping[str, Any], data: Dataset, models: Sequence[Trained], found: Found
) -> str:
    """Return the summary; `config` is the configuration of the study."""
    used = {part.recipe for part in models}
    is_cifar = config["dataset"]["kind"] in ("cifar10", "cifar100")  # probabilities are calibrated
    overlaps = [row for row in found.agreement if row.quantity == "examples_jaccard"]
    return render(
        "summary.md",
        config=config,
        data=data,
        size=data.train_images.shape[1:3],
        models=models,
        spent=_time(sum(part.seconds for part in models)),
        found=found,
        buckets=Counter(row.bucket for row in found.assignments),
        reasons=Counter(row.reason for row in found.assignments),
        right=expected_right(found.assignments) if is_cifar else {},
        annotated=sum(row.decided_by == "manual annotation" for row in found.assignments),
        overlap=max(overlaps, key=lambda row: row.models, default=None),
        leaked=len({leak.test for leak in found.leaks}),
        recipes={name: values for name, values in config["recipes"].items() if name in used},
        versions={"Python": platform.python_version(), "memaudit": __version__}
        | {name: version(name) for name in PACKAGES},
    )


def expected_right(assignments: Sequence[Assignment]) -> dict[str, float]:
    """Return for each reason that the finder gave how many examples have that duplicate, expected.

    An annotated example counts as one.
    """
    right: dict[str, float] = {}
    for reason in {row.reason for row in assignments if row.probability is not None}:
        own = [row.probability for row in assignments if row.reason == reason]
        right[reason] = sum(1.0 if chance is None else chance for chance in own)
    return right


def _time(seconds: float) -> str:
    """Return a time in a unit that suits it."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} seconds"


def first_table(text: str) -> str:
    """Return the first table of a Markdown text."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("|"))
    rows = lines[start:]
    end = next((at for at, line in enumerate(rows) if not line.startswith("|")), len(rows))
    return "\n".join(rows[:end])
