"""Removals: the training examples that a model is trained without.

A removal is a name: `none`, `subset` (a random part, another one for each model), a list of
examples (`selected`, `leakage_shift`, `memorized`, `above_<threshold>` or the user's own), or
`random_<name>`, the size- and class-matched random control of a list, another one for each trial.
"""

from fractions import Fraction
from functools import cache
from itertools import combinations
from math import comb, gcd
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.seeds import generator

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

CONTROL = "random_"
LEAST_PARTS = 8  # of a balanced block


def block_size(fraction: float) -> tuple[int, int]:
    """Return parts and kept parts of the smallest block that gives `fraction`: (10, 7) for 0.7.

    A block has at least `LEAST_PARTS` parts: in a block of P, the variance of the correlation of
    two examples' inclusion is about P / (P - 1) times that of independent subsets.
    """
    exact = Fraction(fraction).limit_denominator(100)
    times = -(-LEAST_PARTS // exact.denominator)
    return times * exact.denominator, times * exact.numerator


def subset_mask(n: int, model: int, fraction: float, seed: int) -> np.ndarray:
    """Draw the training mask of a subset model.

    Models come in balanced blocks. For a fraction of 0.7 the shuffled examples are dealt evenly to
    the 120 ways of choosing three models of ten, which leave them out, so each example is left out
    exactly three times per block and two examples are together no more often than by chance. The
    mask depends on `seed` and `model` alone: a study of 400 models contains the study of 200.

    Parameters
    ----------
    n : int
        Number of training examples.
    model : int
        Number of the model, from 0.
    fraction : float
        Fraction of the examples to keep, with at most two decimals.
    seed : int
        Seed of the study.

    Returns
    -------
    ndarray of bool, shape (n,)
        True where the example is kept.

    Raises
    ------
    ValueError
        If there are no examples, or the fraction is not between 0 and 1, or so close to one of them
        that a subset would keep no example or all of them.

    Examples
    --------
    >>> int(subset_mask(10, model=0, fraction=0.7, seed=0).sum())
    7
    """
    if n < 1:
        raise ValueError(f"n is {n}; there must be at least one example")
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}; it must be between 0 and 1")
    parts, kept = block_size(fraction)
    if not 0 < kept < parts:
        raise ValueError(
            f"fraction is {fraction}, rounded to {kept // parts}: a subset must leave out some "
            "examples and keep some"
        )
    block, member = divmod(model, parts)
    rng = generator(seed, "subset", block)
    order, groups = rng.permutation(n), -(-n // parts)
    # a way and its cyclic shifts leave out every model equally often: a group of `parts` examples
    ways = _ways(parts, parts - kept)
    if len(ways):
        rounds = -(-groups // len(ways))
        ways = np.concatenate([rng.permutation(ways) for _ in range(rounds)])[:groups]
    else:
        models = np.tile(np.arange(parts), (groups, 1))
        ways = rng.permuted(models, axis=1)[:, : parts - kept]
    left_out = (ways[:, None] + np.arange(parts)[:, None]) % parts
    mask = np.empty(n, dtype=bool)
    mask[order] = ~(left_out.reshape(groups * parts, -1)[:n] == member).any(axis=1)
    return mask


@cache
def _ways(parts: int, left: int) -> np.ndarray:
    """Return the ways of leaving out `left` of `parts` models, as representatives of their cycles.

    A cycle holds the shifts of a way; its representative is repeated in proportion to its length.
    Empty where there are more than 1,000 ways: they are drawn at random then.
    """
    if comb(parts, left) > 1000:
        return np.empty((0, left), dtype=np.int64)
    seen: set[tuple[int, ...]] = set()
    found, lengths = [], []
    for way in combinations(range(parts), left):
        if way not in seen:
            cycle = {tuple(sorted((at + shift) % parts for at in way)) for shift in range(parts)}
            found.append(way)
            lengths.append(len(cycle))
            seen |= cycle
    return np.repeat(np.array(found, dtype=np.int64), np.array(lengths) // gcd(*lengths), axis=0)


def smallest_subset(n: int, fraction: float) -> int:
    """Return a size that no subset falls below, which an epoch of every subset model uses.

    Sizes differ where n is no multiple of the parts. The smallest subset may be larger than this.
    """
    parts, kept = block_size(fraction)
    left = parts - kept
    return n - n // parts * left - min(n % parts, left)


def example_indices(examples: "ArrayLike", n: int) -> np.ndarray:
    """Return the indices, int64 (k,), of training examples given as indices or as a mask (n,).

    Raises ValueError for anything else: truth values would pass for the examples 0 and 1.
    """
    found = np.asarray(examples)
    if found.dtype == bool and found.shape == (n,):
        return np.flatnonzero(found)
    if found.ndim != 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
        got = f"{found.dtype} of shape {found.shape}"
        raise ValueError(f"examples must be indices (k,) or a bool mask ({n},), got {got}")
    if found.size and not 0 <= found.min() <= found.max() < n:
        wrong = found.min() if found.min() < 0 else found.max()
        raise ValueError(f"example {wrong} is out of range: there are {n} training examples")
    return found.astype(np.int64)


def control_examples(
    examples: "ArrayLike", labels: "ArrayLike", trial: int, seed: int
) -> np.ndarray:
    """Draw the size- and class-matched random control of a list of examples.

    It is drawn from all examples of each class. The controls of nested lists are nested, too, trial
    by trial.

    Parameters
    ----------
    examples : array_like of int, shape (k,), or of bool, shape (n_train,)
        The training examples to match: indices without repetition, or a mask.
    labels : array_like of int, shape (n_train,)
        Class of each training example.
    trial : int
        Number of the trial, from 0.
    seed : int
        Seed of the study.

    Returns
    -------
    ndarray of int64, shape (k,)
        Training examples, ascending.

    Raises
    ------
    ValueError
        If `examples` or `labels` are not as stated.

    Examples
    --------
    >>> labels = np.array([0, 0, 0, 1, 1, 1])
    >>> control = control_examples(np.array([0, 1, 3]), labels, trial=0, seed=0)
    >>> labels[control]
    array([0, 0, 1])
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be int (n_train,), got {labels.dtype} of {labels.shape}")
    examples, drawn = example_indices(examples, len(labels)), []
    if len(np.unique(examples)) < len(examples):
        raise ValueError("examples: an example is listed twice")
    for label, count in zip(*np.unique(labels[examples], return_counts=True), strict=True):
        members = np.flatnonzero(labels == label)
        rng = generator(seed, "control", trial, int(label))
        drawn.append(rng.permutation(members)[:count])
    return np.sort(np.concatenate(drawn)) if drawn else np.empty(0, dtype=np.int64)


def examples_above(memorization: np.ndarray, threshold: float) -> list[int]:
    """Return the examples with memorization, (n_train,), of at least `threshold`, ascending.

    Raises AuditError where that leaves none to train on.
    """
    examples = np.flatnonzero(memorization >= threshold).tolist()
    if len(examples) == len(memorization):
        raise AuditError(
            f"sweeps.thresholds: all {len(examples)} training examples have memorization of at "
            f"least {threshold:g}, so none would be left; remove {threshold:g} from the list"
        )
    return examples


def training_mask(
    removal: str,
    trial: int,
    labels: np.ndarray,
    seed: int,
    *,
    examples: np.ndarray | None = None,
    fraction: float | None = None,
) -> np.ndarray:
    """Return the training mask of one model: bool (n,), True where the example is trained on.

    `examples` is the removal's list (for `random_<name>` the list it matches), `fraction` what the
    removal `subset` keeps; each is needed by those removals only.

    Raises AuditError when no example is left.
    """
    n = len(labels)
    if removal == "subset":
        if fraction is None:
            raise ValueError("the removal subset needs a fraction")
        return subset_mask(n, trial, fraction, seed)
    mask = np.ones(n, dtype=bool)
    if removal == "none":
        return mask
    if examples is None:
        raise ValueError(f"the removal {removal} needs its list of examples")
    if removal.startswith(CONTROL):
        examples = control_examples(examples, labels, trial, seed)
    mask[examples] = False
    if not mask.any():
        raise AuditError(f"removal {removal}: removes all {n} training examples")
    return mask


def read_examples(path: str | Path, n_train: int | None = None) -> np.ndarray:
    """Read a list of training examples, one index (from 0) per line; `#` starts a comment.

    Returns int64 (examples,), in the file's order.

    Raises AuditError, naming file, line and value, for text that is not an index, a duplicate, and
    (when `n_train` is known) an index out of range or a list of all examples.
    """
    examples: dict[int, None] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise AuditError(f"{path}: the list of examples cannot be read ({why})") from None
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        if not text.isdecimal() or len(text) > 12:
            raise AuditError(
                f"{path}, line {number}: {text[:40]!r} is not a training example (0, 1, 2, ...)"
            )
        if int(text) in examples:
            raise AuditError(f"{path}, line {number}: example {text} is listed twice")
        examples[int(text)] = None
    if n_train is not None:
        if len(examples) >= n_train:
            raise AuditError(
                f"{path}: lists {len(examples)} examples of {n_train} training examples; at least "
                "one must be left"
            )
        if examples and max(examples) >= n_train:
            raise AuditError(
                f"{path}: example {max(examples)} is out of range; training examples are numbered "
                f"from 0 to {n_train - 1}"
            )
    return np.fromiter(examples, dtype=np.int64, count=len(examples))


def write_examples(examples: list[int], path: str | Path, comment: str = "") -> None:
    """Write a list of examples, one index per line, after an optional comment line."""
    first = f"# {comment}\n" if comment else ""
    store.write_text(path, first + "".join(f"{example}\n" for example in examples))
