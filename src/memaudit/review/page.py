"""Write the review page: `index.html`, which contains everything but the images beside it."""

import hashlib
import html
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from memaudit import store
from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError
from memaudit.review.items import Candidate, Group
from memaudit.review.sheets import remove_others, write_sheets

_SCRIPTS = ("decisions.js", "pictures.js", "review.js")


def write_page(
    path: str | Path,
    study: str,
    dataset: Dataset,
    candidates: Sequence[Candidate],
    groups: Sequence[Group],
    *,
    settled: Mapping[tuple[int, int], bool] | None = None,
    memorization: Mapping[int, float] | None = None,
    influence: Mapping[tuple[int, int], float] | None = None,
    selected: Sequence[int] = (),
    counting: Collection[tuple[int, int]] = (),
    rule: str = "",
    calibrated: bool = True,
) -> None:
    """Write the review page to `path`, and the images to the folder `images` beside it.

    Parameters
    ----------
    path : str or pathlib.Path
        The HTML file.
    study : str
        Title of the page; the browser stores progress under it.
    dataset : Dataset
        The images.
    candidates, groups
        The items to annotate, in the order in which they are shown.
    settled : mapping, optional
        Whether a pair (training, test) is a duplicate, where a published annotation says so.
    memorization : mapping, optional
        Memorization by training example, where known.
    influence : mapping, optional
        Influence by (training, test) example, where known.
    selected : sequence of int
        The selected training examples, which are assigned to buckets.
    counting : collection of pairs of int
        The pairs (training, test) that count as duplicates unless they are annotated manually.
    rule : str
        Which pairs these are, by the configuration.
    calibrated : bool
        Whether the probabilities are calibrated on images like these. If not, the page states it
        instead of the expected number of selected examples with a duplicate.

    Raises
    ------
    AuditError
        If an item names an example that the dataset does not have, or a file cannot be written. An
        existing page is kept then.
    """
    path = Path(path)
    _check(dataset, candidates, groups)
    shown = _examples(candidates, groups)
    images = [getattr(dataset, f"{side}_images")[index] for side, index in shown]
    sheets = write_sheets(images, path.parent / "images")
    memorization, influence, settled = memorization or {}, influence or {}, settled or {}
    examples: dict[str, dict[int, dict[str, Any]]] = {"train": {}, "test": {}}
    chosen = set(selected)
    # examples that count by a pair that is no item
    leaking = {train for train, _ in {*counting} - {(pair.train, pair.test) for pair in candidates}}
    for place, (side, index) in enumerate(shown):
        example: dict[str, Any] = {
            "place": place,
            "label": int(getattr(dataset, f"{side}_labels")[index]),
        }
        if getattr(dataset, f"{side}_names"):
            example["name"] = dataset.name(side, index)
        if side == "train":
            example["memorization"] = _rounded(memorization.get(index))
            example["selected"] = index in chosen
            example["leaks"] = index in leaking
        examples[side][index] = example
    content = {
        "study": study,
        "dataset": dataset.digest(),
        "count": {"train": dataset.n_train, "test": dataset.n_test},
        "digest": _digest(study, dataset, candidates, groups),
        "calibrated": calibrated,
        "rule": rule,
        "classes": dataset.class_names,
        "sheets": asdict(sheets),
        **examples,
        "pairs": [
            {
                **asdict(pair),
                "influence": _rounded(influence.get((pair.train, pair.test))),
                "settled": settled.get((pair.train, pair.test)),
                "counts": (pair.train, pair.test) in counting,
            }
            for pair in candidates
        ],
        "groups": [_group(group, influence) for group in groups],
    }
    store.write_text(path, _fill(study, content))
    remove_others(sheets, path.parent / "images")


def _check(dataset: Dataset, candidates: Sequence[Candidate], groups: Sequence[Group]) -> None:
    for side, count in (("train", dataset.n_train), ("test", dataset.n_test)):
        indices = [getattr(pair, side) for pair in candidates]
        indices += [index for group in groups for index in getattr(group, side)]
        if wrong := [index for index in indices if not 0 <= index < count]:
            raise AuditError(
                f"the pairs and groups to review name {side} example {wrong[0]}, but the dataset "
                f"has examples 0 to {count - 1}. They belong to another dataset: rebuild them"
            )


def _examples(candidates: Sequence[Candidate], groups: Sequence[Group]) -> list[tuple[str, int]]:
    """Return each (side, index) once, in the order in which the page shows them."""
    items: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        *(((pair.train,), (pair.test,)) for pair in candidates),
        *((group.train, group.test) for group in groups),
    ]
    examples: dict[tuple[str, int], None] = {}
    for train, test in items:
        examples |= dict.fromkeys([("train", i) for i in train] + [("test", i) for i in test])
    return list(examples)


def _digest(
    study: str, dataset: Dataset, candidates: Sequence[Candidate], groups: Sequence[Group]
) -> str:
    """Return a digest of the images and items, whatever their scores."""
    items = [
        *sorted(("duplicate", (pair.train,), (pair.test,)) for pair in candidates),
        *sorted(("group", group.train, group.test) for group in groups),
    ]
    return hashlib.sha256(repr((study, dataset.digest(), items)).encode()).hexdigest()[:16]


def _group(group: Group, influence: Mapping[tuple[int, int], float]) -> dict[str, Any]:
    """Return a group for the page: parts as letters, members by part, those without one last."""
    numbers = list(dict.fromkeys(part for part in group.part if part is not None))
    rows = [
        (len(numbers) if part is None else numbers.index(part), train, like)
        for train, part, like in zip(group.train, group.part, group.similarity, strict=True)
    ]
    members = [
        {
            "train": train,
            "part": _letter(place) if place < len(numbers) else None,
            "like": _rounded(like),
        }
        for place, train, like in sorted(rows, key=lambda row: row[:2])
    ]
    return {
        "number": group.number,
        "members": members,
        "test": group.test,
        "influence": [
            [train, test, _rounded(influence[train, test])]
            for train in group.train
            for test in group.test
            if (train, test) in influence
        ],
    }


def _letter(number: int) -> str:
    """Return A to Z, then A2 to Z2, and so on."""
    again, place = divmod(number, 26)
    return chr(ord("A") + place) + (str(again + 1) if again else "")


def _rounded(value: float | None) -> float | None:
    """Round to four digits; unknown values (None, NaN) become None, since JSON has no NaN."""
    return None if value is None or value != value else round(float(value), 4)


def _fill(study: str, content: dict[str, Any]) -> str:
    """Return the template with style, scripts and content filled in."""
    template = files("memaudit.review") / "template"
    # without `<` in the data, a name such as "</script>" cannot end the element
    data = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Template((template / "index.html").read_text(encoding="utf-8")).substitute(
        study=html.escape(study),
        style=(template / "review.css").read_text(encoding="utf-8"),
        scripts="\n".join((template / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        data=data,
    )
