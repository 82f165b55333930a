"""The items to annotate: candidate duplicate pairs, and groups of training examples."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from memaudit import tables
from memaudit.buckets.subpopulations import Member
from memaudit.duplicates.calibration import if_selected, probability
from memaudit.scores.facade import study_scores


@dataclass(frozen=True)
class Candidate:
    """A training and a test example that may be duplicates.

    `score` is the duplicate finder's, 0 to 1 (identical), or None if it is not among the pairs that
    the finder ranked; `kind` is "exact", "near", "scene", "candidate" or, for a selected pair that
    the finder does not list, "selected". `probability` is that of a duplicate.
    """

    train: int
    test: int
    score: float | None
    kind: str
    probability: float


@dataclass(frozen=True)
class Group:
    """Training examples connected by test examples that two or more of them influence.

    `train` are the members and `test` the shared test examples, both ascending. `part` is for each
    member its group after the visual check, None if it has none; `similarity` its greatest visual
    similarity to another member, None if it has none.
    """

    number: int
    train: tuple[int, ...]
    test: tuple[int, ...]
    part: tuple[int | None, ...]
    similarity: tuple[float | None, ...]


def read_candidates(path: str | Path) -> list[Candidate]:
    """Read pairs from a CSV with columns train, test, score, kind, probability, and others."""
    columns = {"train": int, "test": int, "score": float, "kind": str, "probability": float}
    return [Candidate(*row) for row in tables.read(path, columns)]


def with_selected(
    candidates: Sequence[Candidate],
    selected: Collection[tuple[int, int]],
    ranked: Mapping[tuple[int, int], tuple[float, float]],
    scene: float | None,
) -> list[Candidate]:
    """Add the selected pairs (train, test) that are not among the candidates.

    `ranked` has score and probability of the pairs that the finder ranked. Selected pairs are
    duplicates more often than others, since an influence is evidence: their probabilities are
    raised, and from `scene` on their kind is "scene". If scenes were not searched, `scene` is None
    and their probabilities are those by score fitted to selected pairs, as for pairs that are not
    ranked.
    """

    def chance(score: float | None, known: float) -> float:
        if score is not None and scene is not None:
            return if_selected(known)
        return float(probability("selected", {"score": np.array(score or 0.0)}))

    def raised(pair: Candidate) -> Candidate:
        pair = replace(pair, probability=chance(pair.score, pair.probability))
        counts = scene is not None and pair.score is not None and pair.probability >= scene
        return replace(pair, kind="scene") if counts and pair.kind != "near" else pair

    found = [
        raised(pair) if (pair.train, pair.test) in selected and pair.kind != "exact" else pair
        for pair in candidates
    ]
    listed = {(pair.train, pair.test) for pair in candidates}
    for pair in dict.fromkeys(selected):
        if pair not in listed:
            score, known = ranked.get(pair, (None, 0.0))
            found.append(raised(Candidate(*pair, score, "selected", known)))
    return found


def by_gain(
    candidates: Iterable[Candidate],
    influence: Mapping[tuple[int, int], float],
    selected: Collection[int],
    grouped: Collection[int],
    settled: Mapping[tuple[int, int], bool],
) -> list[Candidate]:
    """Return the candidates in the order in which their annotation changes most.

    A decision matters if it is open (probability near one half), if no other pair makes the
    training example a leak anyway, if the example is selected, and most if it is in no
    subpopulation (`grouped`), so that it decides the bucket; and with its influence. Pairs that
    another annotation settled, as duplicates (`settled` is True) or not, come last, and so do all
    pairs of an example that it settled as leaking.
    """
    candidates = list(candidates)
    clean: dict[int, float] = defaultdict(lambda: 1.0)  # probability of no duplicate, by example
    for pair in candidates:
        if (pair.train, pair.test) not in settled:
            clean[pair.train] *= 1 - min(pair.probability, 0.999)
    clean |= {train: 0.0 for (train, _), is_duplicate in settled.items() if is_duplicate}

    def gain(pair: Candidate) -> float:
        if (pair.train, pair.test) in settled:
            return 0.0
        chance = min(pair.probability, 0.999)
        flips = chance * clean[pair.train]  # p (1 - p), times that no other pair decides
        weight = 0.1 if pair.train not in selected else 0.4 if pair.train in grouped else 1.0
        return flips * weight * (0.5 + max(0.0, influence.get((pair.train, pair.test), 0.0)))

    return sorted(candidates, key=lambda pair: (-gain(pair), pair.test, pair.train))


def as_groups(members: Iterable[Member]) -> list[Group]:
    """Return the groups that `members` form, by number."""
    together = defaultdict(list)
    for member in sorted(members, key=lambda member: (member.group, member.example)):
        together[member.group].append(member)
    return [
        Group(
            number,
            tuple(member.example for member in group),
            tuple(sorted({test for member in group for test in member.test_examples})),
            tuple(member.checked_group for member in group),
            tuple(member.similarity for member in group),
        )
        for number, group in together.items()
    ]


def read_scores(
    path: str | Path, pairs: Iterable[tuple[int, int]]
) -> tuple[np.ndarray, dict[tuple[int, int], float]]:
    """Read the memorization (n_train,) of all training examples and the influence of `pairs`.

    `path` is a scores file (`memaudit.store.SCORES`); `pairs` are (train, test). Pairs without a
    known influence, such as those of two classes, are omitted.
    """
    pairs, known = set(pairs), {}
    scores = study_scores(path)
    for block in scores.influence:
        row = {train: k for k, train in enumerate(block.train_index.tolist())}
        column = {test: k for k, test in enumerate(block.test_index.tolist())}
        for train, test in pairs:
            if train in row and test in column:
                value = float(block.influence[row[train], column[test]])
                if not np.isnan(value):
                    known[train, test] = value
    return scores.memorization.value, known
