"""Which training examples a model is trained without.

A removal is a name: `none`, `subset` (a random part, another for each model), `selected`,
`leakage_shift`, `memorized`, `above_<threshold>` or one of the user's own (a list of examples), and
`random_<name>`, the control of a list: as many examples of the same classes, drawn anew for each
trial.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.seeds import generator

CONTROL = "random_"


def block_size(fraction: float) -> tuple[int, int]:
    """(parts, kept parts) of the smallest balanced block that gives `fraction`: 0.7 is (10, 7)."""
    exact = Fraction(fraction).limit_denominator(100)
    return exact.denominator, exact.numerator


def subset_mask(n: int, model: int, fraction: float, seed: int) -> np.ndarray:
    """Training mask of subset model `model`: bool (n,), True where the example is kept.

    Models come in balanced blocks: the examples are shuffled and cut into (say) ten parts, and ten
    models leave out three neighbouring parts each, so that each part, and hence each example, is left
    out exactly three times a block. The mask depends on (seed, model) alone: a study of 400 models
    contains the study of 200.
    """
    parts, kept = block_size(fraction)
    block, member = divmod(model, parts)
    order = generator(seed, "subset", block).permutation(n)
    left_out = np.array_split(order, parts)
    mask = np.ones(n, dtype=bool)
    for part in range(member, member + parts - kept):
        mask[left_out[part % parts]] = False
    return mask


def control_examples(examples: np.ndarray, labels: np.ndarray, trial: int, seed: int) -> np.ndarray:
    """As many random examples as `examples`, class by class: sorted indices, int64 (len(examples),).

    Drawn from all examples of the class. The draws of nested lists are nested too: the control of a
    bucket is part of the control of a larger one, trial by trial.
    """
    examples, drawn = np.asarray(examples, dtype=np.int64), []
    for label, count in zip(*np.unique(labels[examples], return_counts=True), strict=True):
        members = np.flatnonzero(labels == label)
        rng = generator(seed, "control", trial, int(label))
        drawn.append(rng.permutation(members)[:count])
    return np.sort(np.concatenate(drawn)) if drawn else np.empty(0, dtype=np.int64)


def examples_above(memorization: np.ndarray, threshold: float) -> list[int]:
    """The examples of memorization `threshold` or more, ascending; `memorization` is (n_train,).

    Raises AuditError where that leaves none to train on.
    """
    examples = np.flatnonzero(memorization >= threshold).tolist()
    if len(examples) == len(memorization):
        raise AuditError(
            f"sweeps.thresholds: all {len(examples)} training examples have memorization of "
            f"{threshold:g} or more, none would be left; take {threshold:g} off the list"
        )
    return examples


def training_mask(
    removal: str,
    trial: int,
    labels: np.ndarray,
    seed: int,
    examples: np.ndarray | None = None,
    fraction: float | None = None,
) -> np.ndarray:
    """Training mask of one model: bool (n,), True where the example is trained on.

    `examples` are those of the removal's list (for `random_<name>`: the list it controls for);
    `fraction` is what `subset` keeps.
    """
    n = len(labels)
    if removal == "subset":
        return subset_mask(n, trial, fraction, seed)
    mask = np.ones(n, dtype=bool)
    if removal == "none":
        return mask
    if removal.startswith(CONTROL):
        examples = control_examples(examples, labels, trial, seed)
    mask[examples] = False
    if not mask.any():
        raise AuditError(f"removal {removal}: it removes all {n} training examples; none are left")
    return mask


def read_examples(path: str | Path, n_train: int | None = None) -> np.ndarray:
    """Read a removal list: one train index (from 0) a line, `#` starts a comment. int64 (examples,).

    Raises AuditError, naming file, line and value, for what is no index, an index given twice, and
    (when `n_train` is known) an index out of range or more examples than there are.
    """
    examples: dict[int, None] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AuditError(f"{path}: the list of examples cannot be read ({error})") from None
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        if not text.isdecimal() or len(text) > 12:
            raise AuditError(
                f"{path}, line {number}: {text[:40]!r} is not a train index (0, 1, 2, ...)"
            )
        if int(text) in examples:
            raise AuditError(f"{path}, line {number}: example {text} is listed twice")
        examples[int(text)] = None
    if n_train is not None:
        if len(examples) >= n_train:
            raise AuditError(
                f"{path}: {len(examples)} examples to remove, but there are {n_train} training examples; "
                "at least one must be left"
            )
        if examples and max(examples) >= n_train:
            raise AuditError(
                f"{path}: example {max(examples)} is out of range; train indices go from 0 to "
                f"{n_train - 1}"
            )
    return np.fromiter(examples, dtype=np.int64, count=len(examples))


def write_examples(examples: list[int], path: str | Path, comment: str = "") -> None:
    """Write a list of examples: one index a line, after a comment line where there is one."""
    first = f"# {comment}\n" if comment else ""
    with store.atomic_write(path) as temporary:
        temporary.write_text(first + "".join(f"{example}\n" for example in examples))
