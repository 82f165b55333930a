"""What others have published on CIFAR-100: F&Z's pairs, scores and runs, and ciFAIR's duplicates.

F&Z are Feldman & Zhang 2020 (arXiv 2008.03703), ciFAIR is Barz & Denzler 2020 (J. Imaging 6(6)).
All indices are those of CIFAR-100's original order, counted from 0, except in F&Z's released runs
(`read_aux_arrays`). `data/sources.yaml` says where the files come from.
"""

import csv
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.scores import InfluenceBlock
from memaudit.selection import Pair

FZ_MODELS, FZ_FRACTION = 4000, 0.7  # F&Z's CIFAR-100 models, and the part of the points in each
EXACT, NEAR, SIMILAR = 0, 1, 2  # ciFAIR's judgments: nearly the same pixels, same shot, very alike
_JUDGMENTS = {EXACT: "exact", NEAR: "near", SIMILAR: "very similar"}


# --- F&Z's pairs ------------------------------------------------------------------------------


def read_fz_pairs(
    path: str | Path, train_labels: np.ndarray, test_labels: np.ndarray
) -> list[Pair]:
    """F&Z's published pairs (`cifar100_high_infl_pairs_infl0.15_mem0.25.npz`) as selected pairs.

    The file has `tr_idx`, `tt_idx`, `infl` and `mem`, each (pairs,): mem >= 0.25, infl >= 0.15.
    train_labels (n_train,) and test_labels (n_test,) are the classes of the images at hand; the two
    points of a pair are of one class, which tells whether those are in the order that the indices
    mean. Standard errors were not published and are NaN. Ordered by train point, then test point.

    Raises AuditError, naming the file: not an .npz, a key missing, arrays that do not belong
    together, an index out of range, pairs of two classes.
    """
    train, test, influence, memorization = _pair_arrays(path)
    for name, index, labels in (("tr_idx", train, train_labels), ("tt_idx", test, test_labels)):
        _check_range(path, name, index, len(labels))
    apart = np.count_nonzero(train_labels[train] != test_labels[test])
    if apart:
        raise _other_order(path, f"{apart} of {len(train)} pairs join points of two classes")
    order = np.lexsort((test, train))
    return [
        Pair(
            int(train[row]),
            int(test[row]),
            int(train_labels[train[row]]),
            float(memorization[row]),
            float("nan"),
            float(influence[row]),
            float("nan"),
        )
        for row in order
    ]


def _pair_arrays(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    keys = ("tr_idx", "tt_idx", "infl", "mem")
    arrays = _npz(path, keys)
    train, test, influence, memorization = (arrays[key] for key in keys)
    if len({array.shape for array in arrays.values()}) > 1 or train.ndim != 1:
        shapes = ", ".join(f"{key} {arrays[key].shape}" for key in keys)
        raise _foreign(path, f"the arrays are not of one length: {shapes}")
    if not all(np.issubdtype(index.dtype, np.integer) for index in (train, test)):
        raise _foreign(path, "tr_idx and tt_idx must be whole numbers")
    return train, test, influence, memorization


# --- F&Z's scores -----------------------------------------------------------------------------


def read_fz_matrix(
    path: str | Path, train_labels: np.ndarray, test_labels: np.ndarray, se: float | None = None
) -> tuple[np.ndarray, list[InfluenceBlock]]:
    """F&Z's scores of all points (`cifar100_infl_matrix.npz`): memorization and influence.

    Returns memorization, float (n_train,), and for each class the influence of its train points on
    its test points. Standard errors were not published: `se` stands for all of them, by default the
    bound of `largest_se`. Reads what `memaudit.scores.export_fz` writes, too.

    Raises AuditError, naming the file and the key: not an .npz, a key missing, another shape, an
    index out of range or of another class, labels other than those of the images at hand.
    """
    se = largest_se() if se is None else se
    classes = [int(label) for label in np.unique(train_labels)]
    per_class = ("infl_matrix_class{}", "tr_classidx_{}", "tt_classidx_{}")
    keys = ["tr_labels", "tt_labels", "tr_mem"]
    arrays = _npz(path, keys + [key.format(label) for label in classes for key in per_class])
    for key, labels in (("tr_labels", train_labels), ("tt_labels", test_labels)):
        if arrays[key].shape != labels.shape:
            raise _foreign(path, f"{key} is {arrays[key].shape}, the images are {labels.shape}")
        if other := np.count_nonzero(arrays[key] != labels):
            raise _other_order(path, f"{other} of {len(labels)} labels in {key} are others")
    memorization = arrays["tr_mem"]
    if memorization.shape != train_labels.shape:
        raise _foreign(path, f"tr_mem is {memorization.shape}, expected {train_labels.shape}")
    blocks = []
    for label in classes:
        influence, train, test = (arrays[key.format(label)] for key in per_class)
        for key, index, labels in (
            (per_class[1], train, train_labels),
            (per_class[2], test, test_labels),
        ):
            _check_range(path, key.format(label), index, len(labels))
            if (labels[index] != label).any():
                raise _foreign(path, f"{key.format(label)} has points of other classes")
        if influence.shape != (len(train), len(test)):
            raise _foreign(
                path,
                f"{per_class[0].format(label)} is {influence.shape}, expected "
                f"{(len(train), len(test))}",
            )
        blocks.append(
            InfluenceBlock(
                label,
                train.astype(np.int64),
                test.astype(np.int64),
                influence.astype(np.float32),
                np.full(influence.shape, se, dtype=np.float32),
            )
        )
    return memorization, blocks


def largest_se(models: int = FZ_MODELS, fraction: float = FZ_FRACTION) -> float:
    """The largest standard error a score from so many subset models can have.

    sqrt(1 / (4 n_in) + 1 / (4 n_out)), since a fraction of n varies by at most 1 / (4 n); 0.017 at
    F&Z's 4,000 models on 70 % subsets.
    """
    n_in, n_out = _in_and_out(models, fraction)
    return float(np.sqrt(1 / (4 * n_in) + 1 / (4 * n_out)))


def _in_and_out(models: int, fraction: float) -> tuple[int, int]:
    n_in = round(models * fraction)
    return n_in, models - n_in


def write_fz_scores(
    path: str | Path,
    out: str | Path,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
    models: int = FZ_MODELS,
    fraction: float = FZ_FRACTION,
) -> None:
    """Write F&Z's scores by the contract `memaudit.store.SCORES`, so that selection reads them.

    What was not published is filled with what is known: n_in and n_out with their expectations
    (2,800 and 1,200), every standard error with its upper bound `largest_se`. The attribute
    `standard_errors` of the file says so. Raises what `read_fz_matrix` raises.
    """
    bound = largest_se(models, fraction)
    memorization, blocks = read_fz_matrix(path, train_labels, test_labels, bound)
    n_in, n_out = _in_and_out(models, fraction)
    attributes = {
        "models": models,
        "source": Path(path).name,
        "standard_errors": "upper bound; n_in and n_out are expectations",
    }
    everywhere = np.ones(len(train_labels), dtype=np.int64)
    with store.create(out, store.SCORES, attributes) as file:
        file.add("train_labels", train_labels)
        file.add("test_labels", test_labels)
        file.add("memorization", memorization)
        file.add("memorization_se", everywhere * bound)
        file.add("n_in", everywhere * n_in)
        file.add("n_out", everywhere * n_out)
        for block in blocks:
            for name in ("train_index", "test_index", "influence", "influence_se"):
                file.add(f"influence/class{block.label}/{name}", getattr(block, name))


# --- F&Z's runs -------------------------------------------------------------------------------


def read_aux_arrays(
    paths: Sequence[str | Path], n_train: int, n_test: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F&Z's released runs, one `aux_arrays.npz` each: what `memaudit.scores` computes from.

    Returns the training mask (k, n_train), correctness on the train points (k, n_train) and on the
    test points (k, n_test), all bool, row i from paths[i]. A run has `subsample_idx` (the points it
    trained on), `index_{train,removed,test}` and `correctness_{train,removed,test}` (0 or 1),
    where train and removed together are all train points (README of
    google-research/heldout-influence-estimation).

    The indices are those of the data set that the run was made with. The release's CIFAR-10 runs
    count in the order in which TensorFlow Datasets (cifar10:3.0.2) yields the images (`libdata/`
    there), which is not the original order: bring the columns into your own before you compare.

    Raises AuditError, naming the file: not an .npz, a key missing, a point missing, counted twice
    or out of range, a correctness that is neither 0 nor 1, a subset other than `index_train`.
    """
    mask = np.zeros((len(paths), n_train), dtype=bool)
    train_correct = np.zeros((len(paths), n_train), dtype=bool)
    test_correct = np.zeros((len(paths), n_test), dtype=bool)
    parts = ("train", "removed", "test")
    for row, path in enumerate(paths):
        keys = [f"{kind}_{part}" for part in parts for kind in ("index", "correctness")]
        run = _npz(path, [*keys, "subsample_idx"])
        for part in parts:
            index, correct = run[f"index_{part}"], run[f"correctness_{part}"]
            if index.ndim != 1 or index.shape != correct.shape:
                raise _foreign(
                    path, f"index_{part} is {index.shape}, correctness_{part} {correct.shape}"
                )
            if not np.isin(correct, (0, 1)).all():
                raise _foreign(path, f"correctness_{part} has values that are neither 0 nor 1")
        both = np.concatenate([run["index_train"], run["index_removed"]])
        _check_all_once(path, "index_train and index_removed", both, n_train)
        _check_all_once(path, "index_test", run["index_test"], n_test)
        if not np.array_equal(np.sort(run["subsample_idx"]), np.sort(run["index_train"])):
            raise _foreign(path, "subsample_idx and index_train are not the same points")
        mask[row, run["index_train"]] = True
        for part in ("train", "removed"):
            train_correct[row, run[f"index_{part}"]] = run[f"correctness_{part}"]
        test_correct[row, run["index_test"]] = run["correctness_test"]
    return mask, train_correct, test_correct


def _check_all_once(path: str | Path, name: str, index: np.ndarray, count: int) -> None:
    _check_range(path, name, index, count)
    times = np.bincount(index, minlength=count)
    if (times != 1).any():
        point = int((times != 1).argmax())
        raise _foreign(path, f"{name}: point {point} is there {times[point]} times, not once")


# --- ciFAIR's duplicates ----------------------------------------------------------------------


def read_cifair(path: str | Path) -> list[tuple[int, int, int]]:
    """ciFAIR's list of test images with a duplicate in the train set: (test, train, judgment).

    For each test image listed its nearest train image, as people judged it: 0 exact (almost all
    pixels about the same), 1 near (the same shot, processed otherwise), 2 very similar (another
    shot). In the order of the file, which is that of a distance between features.

    Raises AuditError, naming file, line and value: missing columns, a value that is no index, a
    judgment that is none of these.
    """
    columns = ("TestID", "TrainID", "Judgment")
    rows = []
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            if missing := sorted(set(columns) - set(reader.fieldnames or ())):
                raise _foreign(path, f"there is no column {missing[0]}")
            for row in reader:
                texts = [row[column] or "" for column in columns]
                for column, text in zip(columns, texts, strict=True):
                    if not text.isdecimal():
                        raise _foreign(path, f"line {reader.line_num}: {column} is {text!r}")
                test, train, judgment = map(int, texts)
                if judgment not in _JUDGMENTS:
                    raise _foreign(
                        path, f"line {reader.line_num}: Judgment is {judgment}, not 0, 1 or 2"
                    )
                rows.append((test, train, judgment))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AuditError(f"{path}: cannot be read ({error})") from None
    return rows


@dataclass(frozen=True)
class Agreement:
    """How far two lists of duplicates agree: counts of `unit`, "pairs" or "test images"."""

    unit: str
    both: int
    only_cifair: int
    only_detector: int


def agreement(
    detected: Iterable[tuple[int, int, str]],
    cifair: Iterable[tuple[int, int, int]],
    judgments: Sequence[int] = (EXACT, NEAR),
) -> list[Agreement]:
    """A detector's duplicates beside ciFAIR's, as pairs and as test images.

    detected are (train, test, kind), as `memaudit.duplicates.read_duplicates` gives them, cifair
    (test, train, judgment), as `read_cifair` does; only rows with one of `judgments` count, and
    what people judged otherwise counts as not listed. ciFAIR lists one train image for each test
    image, so a detector that finds another copy agrees by test image and not by pair.
    """
    ours = {(train, test) for train, test, _ in detected}
    theirs = {(train, test) for test, train, judgment in cifair if judgment in judgments}
    tests = {test for _, test in ours}, {test for _, test in theirs}
    return [
        Agreement(unit, len(one & other), len(other - one), len(one - other))
        for unit, (one, other) in {"pairs": (ours, theirs), "test images": tests}.items()
    ]


# --- the published counts ---------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """A number that the paper reports beside the one that the published files give.

    `paper_says` is None where the paper gives none.
    """

    quantity: str
    paper_says: float | None
    files_say: float
    note: str


def published_counts(
    pairs_path: str | Path, cifair_path: str | Path, n_test: int = 10_000
) -> list[Count]:
    """What the published pairs and duplicates say about the paper's numbers, counted anew.

    "The paper" is "Is Memorization Actually Necessary for Generalization?"; its column holds what
    it prints (section 5, Table 2), the other is computed from F&Z's pairs and ciFAIR's list. A
    train point counts once, under ciFAIR's strictest judgment of it. n_test is the number of test
    images that an accuracy is taken over.

    Raises AuditError as `read_fz_pairs` (without labels) and `read_cifair` do.
    """
    train, test, influence, memorization = _pair_arrays(pairs_path)
    judged: dict[int, int] = {}
    for _, point, judgment in read_cifair(cifair_path):
        judged[point] = min(judgment, judged.get(point, judgment))
    value = dict(zip(train.tolist(), memorization.tolist(), strict=True))
    influencing = defaultdict(set)
    for one, other in zip(train.tolist(), test.tolist(), strict=True):
        influencing[other].add(one)
    points = set(value)
    linked = points & set(judged)
    kinds = Counter(_JUDGMENTS[judged[point]] for point in linked)
    shared_tests = {point for point, others in influencing.items() if len(others) > 1}
    shared = {point for other in shared_tests for point in influencing[other]}
    either = linked | shared
    neither = points - either

    def mean(chosen: set[int]) -> float:
        return float(np.mean([value[point] for point in chosen])) if chosen else float("nan")

    parts_note = "the parts of the paper's buckets add up to its 1,015"
    return [
        Count(
            "pairs of a train and a test point", None, len(train), "the paper calls these points"
        ),
        Count("memorized train points", 1015, len(points), "distinct train points of the pairs"),
        Count("influenced test points", None, len(influencing), "distinct test points"),
        Count(
            "train points with a duplicate in the test set",
            119 + 158,
            len(linked),
            "listed by ciFAIR with any judgment; the paper: exact and near",
        ),
        Count("of these exact", 119, kinds["exact"], "almost all pixels about the same"),
        Count("of these near", 158, kinds["near"], "the same shot, processed otherwise"),
        Count("of these very similar", None, kinds["very similar"], "another shot"),
        Count(
            "test points influenced by two train points or more",
            None,
            len(shared_tests),
            "each makes its train points a sub-population",
        ),
        Count(
            "train points that share a test point",
            239,
            len(shared),
            f"sub-populations; {len(shared - linked)} of them have no listed duplicate",
        ),
        Count(
            "pairs of a shared test point",
            None,
            sum(len(influencing[point]) for point in shared_tests),
            "rows of the file, not points",
        ),
        Count("train points in either", 119 + 158 + 239, len(either), parts_note),
        Count("train points in neither", 499, len(neither), parts_note),
        Count("mean memorization of all", None, mean(points), "each train point once"),
        Count("mean memorization of the duplicate-linked", None, mean(linked), ""),
        Count("mean memorization of the rest", None, mean(points - linked), ""),
        Count(
            "mean memorization of those in either",
            0.74,
            mean(either),
            "the paper calls it lower and, in the next sentence, higher",
        ),
        Count("mean memorization of those in neither", 0.83, mean(neither), ""),
        Count(
            "drop of test accuracy, percentage points",
            2.54,
            100 * float(influence.sum()) / n_test,
            "the files: if all influences simply add up; the paper: measured, as F&Z",
        ),
    ]


def write_counts(counts: Sequence[Count], path: str | Path) -> None:
    """Write counts as CSV, a column for each field of `Count`; empty where the paper is silent."""

    def text(value: float | str | None) -> str:
        if value is None:
            return ""
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    with store.whole(path) as temporary, open(temporary, "w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([field.name for field in fields(Count)])
        writer.writerows([text(value) for value in astuple(count)] for count in counts)


# --- files ------------------------------------------------------------------------------------


def _npz(path: str | Path, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The named arrays of an .npz, or an AuditError; nothing is unpickled."""
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise ValueError("a single array")
            with found:
                if missing := [key for key in keys if key not in found]:
                    raise _foreign(path, f"it has no {missing[0]!r}")
                return {key: found[key] for key in keys}
    except FileNotFoundError:
        raise AuditError(f"{path}: there is no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _foreign(path, f"not an .npz file, or a broken one ({error})") from error


def _check_range(path: str | Path, name: str, index: np.ndarray, count: int) -> None:
    if index.ndim != 1 or not np.issubdtype(index.dtype, np.integer):
        raise _foreign(path, f"{name} is {index.dtype} {index.shape}, not a list of indices")
    wrong = (index < 0) | (index >= count)
    if wrong.any():
        raise _foreign(path, f"{name} has {index[wrong][0]}, but indices go from 0 to {count - 1}")


def _foreign(path: str | Path, what: str) -> AuditError:
    return AuditError(f"{path}: {what}; get the published file again, or name the right one")


def _other_order(path: str | Path, what: str) -> AuditError:
    return AuditError(
        f"{path}: {what}: the images are not in CIFAR-100's original order, which its indices "
        "mean. Make the dataset from the original archive (cifar-100-binary.tar.gz)."
    )
