"""Selected examples that belong together: they influence the same test example, and look alike.

The paper's rule (section 4) takes two selected training examples that influence one test example for a
part of one subpopulation. Here such examples are linked, and examples connected by links form a group.
The check takes away the links of examples that do not look alike, and what stays connected forms a
checked group. Both results are kept; the configuration says which one the buckets go by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from memaudit.buckets.appearance import Appearance
from memaudit.scores.selection import Pair
from memaudit.tables import column

RULE, CHECKED = "rule", "checked"


@dataclass(frozen=True)
class Member:
    """A selected example that shares an influenced test example: a row of subpopulations.csv."""

    group: int = column(
        "number of its group by the rule: examples that influence the same test example are "
        "linked, and linked examples form a group"
    )
    checked_group: int | None = column(
        "number of its group when only links between examples of similar appearance count; empty "
        "if it has no such link"
    )
    example: int = column("training example", "index")
    class_name: str = column("name of its class", name="class")
    test_examples: tuple[int, ...] = column(
        "test examples that it influences together with another selected example", "indices"
    )
    similarity: float = column(
        "similarity of its appearance to the most similar of the examples it is linked with: 0 is "
        "the median of random pairs of its class, 1 is one standard deviation above it"
    )


def shared_links(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Pairs of training examples that have a test example in common: int64 (links, 2), sorted.

    `train` and `test` (pairs,) say which training example influences which test example. The smaller of
    two linked examples comes first.
    """
    examples, row = np.unique(np.asarray(train, dtype=np.int64), return_inverse=True)
    column = np.unique(test, return_inverse=True)[1]
    if not len(row):
        return np.empty((0, 2), dtype=np.int64)
    influence = sparse.csr_array((np.ones(len(row), dtype=np.int32), (row, column)))
    ends = sparse.triu(influence @ influence.T, k=1).nonzero()
    links = np.column_stack([examples[end] for end in ends])
    return links[np.lexsort(links.T[::-1])]


def components(links: np.ndarray) -> dict[int, int]:
    """The group of each linked example: numbers from 0, in the order of their smallest examples."""
    examples, ends = np.unique(links, return_inverse=True)
    ends = ends.reshape(-1, 2)
    size = len(examples)
    graph = sparse.csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    label = sparse.csgraph.connected_components(graph, directed=False)[1]
    number = {int(old): new for new, old in enumerate(dict.fromkeys(label.tolist()))}
    return {int(p): number[int(old)] for p, old in zip(examples, label, strict=True)}


def find_members(
    pairs: Sequence[Pair], appearance: Appearance, class_names: Sequence[str], threshold: float
) -> list[Member]:
    """The members of all groups, ordered by group and training example.

    `threshold` is the similarity, in standard deviations, from which linked examples pass the check.
    """
    train, test = (np.array([getattr(p, s) for p in pairs], np.int64) for s in ("train", "test"))
    links = shared_links(train, test)
    similarity = appearance.similarity(links)
    group, checked = components(links), components(links[similarity >= threshold])
    nearest = dict.fromkeys(group, -np.inf)
    for (a, b), value in zip(links.tolist(), similarity.tolist(), strict=True):
        nearest[a], nearest[b] = max(nearest[a], value), max(nearest[b], value)
    tests, counts = np.unique(test, return_counts=True)
    shared = set(tests[counts > 1].tolist())
    label = {pair.train: pair.label for pair in pairs}
    members = [
        Member(
            group[example],
            checked.get(example),
            example,
            class_names[label[example]],
            tuple(sorted(p.test for p in of_example if p.test in shared)),
            nearest[example],
        )
        for example, of_example in _by_train(pairs).items()
        if example in group
    ]
    return sorted(members, key=lambda member: (member.group, member.example))


def _by_train(pairs: Sequence[Pair]) -> dict[int, list[Pair]]:
    found: dict[int, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(pair.train, []).append(pair)
    return found


def links_of(members: Sequence[Member], by: str) -> np.ndarray:
    """The links that `members` stand for, by the rule or as checked: int64 (links, 2), sorted.

    Two examples are linked that share a test example and are in one group, of the kind `by` says.
    """
    number = {m.example: m.group if by == RULE else m.checked_group for m in members}
    incidence = [(m.example, test) for m in members for test in m.test_examples]
    links = shared_links(*np.array(incidence, dtype=np.int64).reshape(-1, 2).T)
    return links[
        [number[a] == number[b] and number[a] is not None for a, b in links.tolist()]
    ].reshape(-1, 2)


def decided_links(links: np.ndarray, said: Mapping[tuple[int, int], bool]) -> np.ndarray:
    """Links with people's words over them: pairs that belong together added, others taken away."""
    if not said:
        return links
    kept = {(a, b) for a, b in links.tolist() if said.get((a, b), True)}
    kept |= {pair for pair, together in said.items() if together}
    return np.array(sorted(kept), dtype=np.int64).reshape(-1, 2)
