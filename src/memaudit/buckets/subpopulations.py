"""Subpopulations: selected examples that influence the same test example and look similar.

By the paper's rule (section 4), two selected training examples that influence the same test example
belong to one subpopulation. Such examples are linked, and linked examples form a group. The
appearance check removes the links between examples that do not look similar; what remains connected
forms a checked group. Both are recorded; `subpopulations.by` says which one decides the buckets.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from memaudit.buckets.appearance import Appearance
from memaudit.scores.selection import Pair
from memaudit.tables import Rows, column

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

RULE, CHECKED = "rule", "checked"


@dataclass(frozen=True)
class Member:
    """A selected example that shares an influenced test example: a row of subpopulations.csv."""

    group: int
    """number of its group by the rule: examples that influence the same test example are
    linked, and linked examples form a group"""
    checked_group: int | None
    """number of its group when only links between examples of similar appearance count;
    empty if it has no such link"""
    example: int
    """training example; index"""
    class_name: str = column(name="class")
    """name of its class"""
    test_examples: tuple[int, ...] = column()
    """test examples that it influences together with another selected example; indices"""
    similarity: float = column()
    """similarity of its appearance to the most similar of the examples it is linked with: 0
    is the median of random pairs of its class, 1 is one standard deviation above it"""


def shared_links(train: "ArrayLike", test: "ArrayLike") -> np.ndarray:
    """Return the pairs of training examples that influence the same test example.

    Parameters
    ----------
    train, test : array_like of int, shape (n_pairs,)
        Training example ``train[k]`` influences test example ``test[k]``.

    Returns
    -------
    numpy.ndarray of int64, shape (n_links, 2)
        Pairs of training examples, the smaller index first, sorted.

    Raises
    ------
    ValueError
        If `train` and `test` are not integers of one length.

    References
    ----------
    "Is Memorization Actually Necessary for Generalization?", section 4.

    Examples
    --------
    >>> from memaudit import shared_links
    >>> shared_links([7, 3, 5], [1, 1, 2])
    array([[3, 7]])
    """
    ends = np.asarray(train), np.asarray(test)
    is_list = [one.ndim == 1 and (not one.size or one.dtype.kind in "iu") for one in ends]
    if not all(is_list) or len(ends[0]) != len(ends[1]):
        got = " and ".join(f"{one.dtype} of shape {one.shape}" for one in ends)
        raise ValueError(f"train and test must be int (n_pairs,) both, got {got}")
    examples, row = np.unique(np.asarray(train, dtype=np.int64), return_inverse=True)
    column = np.unique(test, return_inverse=True)[1]
    if not len(row):
        return np.empty((0, 2), dtype=np.int64)
    influence = sparse.csr_array((np.ones(len(row), dtype=np.int32), (row, column)))
    ends = sparse.triu(influence @ influence.T, k=1).nonzero()
    links = np.column_stack([examples[end] for end in ends])
    return links[np.lexsort(links.T[::-1])]


def components(links: np.ndarray) -> dict[int, int]:
    """Number the connected components of the links, in the order of their smallest examples.

    Returns the group of each linked example.
    """
    examples, ends = np.unique(links, return_inverse=True)
    ends = ends.reshape(-1, 2)
    size = len(examples)
    graph = sparse.csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    label = sparse.csgraph.connected_components(graph, directed=False)[1].tolist()
    number = {old: new for new, old in enumerate(dict.fromkeys(label))}
    return {e: number[old] for e, old in zip(examples.tolist(), label, strict=True)}


def find_members(
    pairs: Sequence[Pair], appearance: Appearance, class_names: Sequence[str], threshold: float
) -> Rows[Member]:
    """Return the members of all groups, ordered by group and training example.

    Linked examples pass the appearance check from the similarity `threshold`, in standard
    deviations.
    """
    tests: dict[int, set[int]] = defaultdict(set)
    for pair in pairs:
        tests[pair.train].add(pair.test)
    label = {pair.train: pair.label for pair in pairs}
    links = shared_links([pair.train for pair in pairs], [pair.test for pair in pairs])
    similarity = appearance.similarity(links)
    group, checked = components(links), components(links[similarity >= threshold])
    nearest = dict.fromkeys(group, -np.inf)
    shared: dict[int, set[int]] = defaultdict(set)
    for (a, b), value in zip(links.tolist(), similarity.tolist(), strict=True):
        for example in (a, b):
            nearest[example] = max(nearest[example], value)
            shared[example] |= tests[a] & tests[b]
    return Rows(
        Member,
        (
            Member(
                group[example],
                checked.get(example),
                example,
                class_names[label[example]],
                tuple(sorted(shared[example])),
                nearest[example],
            )
            for example in sorted(group, key=lambda example: (group[example], example))
        ),
    )


def links_of(members: Sequence[Member], by: str) -> np.ndarray:
    """Return the sorted links within groups (`by` RULE) or checked groups, int64 (links, 2)."""
    number = {m.example: m.group if by == RULE else m.checked_group for m in members}
    incidence = [(m.example, test) for m in members for test in m.test_examples]
    links = shared_links(*np.array(incidence, dtype=np.int64).reshape(-1, 2).T)
    kept = [number[a] == number[b] and number[a] is not None for a, b in links.tolist()]
    return links[kept].reshape(-1, 2)


def decided_links(links: np.ndarray, together: Mapping[tuple[int, int], bool]) -> np.ndarray:
    """Add the pairs that annotators joined to the links and remove those they separated."""
    if not together:
        return links
    kept = {(a, b) for a, b in links.tolist() if together.get((a, b), True)}
    kept |= {pair for pair, is_one in together.items() if is_one}
    return np.array(sorted(kept), dtype=np.int64).reshape(-1, 2)
