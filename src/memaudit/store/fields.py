"""Every dataset of every HDF5 file of a study, declared once: name, dtype, shape and unit.

Shapes are named dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Field:
    """One dataset of an HDF5 file; equal names in `shape` are dimensions of equal length."""

    dtype: str
    shape: tuple[str | int, ...]
    unit: str
    optional: bool = False


# Bits are packed along the last axis with numpy.packbits (big-endian bit order); the attributes
# n_train and n_test give the number of valid bits.
DATASET = {
    "train/images": Field("uint8", ("n_train", "height", "width", 3), "RGB, 0 to 255"),
    "train/labels": Field("int64", ("n_train",), "class, an index into class_names"),
    "train/names": Field("str", ("n_train",), "file the image came from", optional=True),
    "test/images": Field("uint8", ("n_test", "height", "width", 3), "RGB, 0 to 255"),
    "test/labels": Field("int64", ("n_test",), "class, an index into class_names"),
    "test/names": Field("str", ("n_test",), "file the image came from", optional=True),
    "class_names": Field("str", ("classes",), "name"),
    "planted/train_role": Field("str", ("n_train",), "what was planted", optional=True),
    "planted/train_subpopulation": Field("int64", ("n_train",), "number", optional=True),
    "planted/test_role": Field("str", ("n_test",), "what was planted", optional=True),
    "planted/test_subpopulation": Field("int64", ("n_test",), "number", optional=True),
    "planted/test_copy_of": Field("int64", ("n_test",), "training example or -1", optional=True),
    "planted/test_edit": Field("str", ("n_test",), "kind of edit or empty", optional=True),
}
SHARD = {
    "trial": Field("int64", ("models",), "trial"),
    "train_mask": Field("uint8", ("models", "train_bytes"), "bit: the example was in training"),
    "train_correct": Field("uint8", ("models", "train_bytes"), "bit: predicted its label"),
    "test_correct": Field("uint8", ("models", "test_bytes"), "bit: predicted its label"),
    "rate": Field("float32", ("models", "epochs"), "learning rate, mean over the epoch's steps"),
    "loss": Field("float32", ("models", "epochs"), "nats, mean over the epoch's steps"),
    "train_accuracy": Field(
        "float32", ("models", "epochs"), "fraction, on augmented images while training"
    ),
    "test_accuracy": Field("float32", ("models", "epochs"), "fraction; NaN where not evaluated"),
    "seconds": Field("float64", ("models",), "wall seconds of training and evaluation"),
    # of subset models, if `memorization.store_margins`
    **{
        f"{side}_{name}": Field("float16", ("models", f"n_{side}"), unit, optional=True)
        for side in ("train", "test")
        for name, unit in (
            ("margin", "logit of the label minus the largest other logit"),
            ("log_odds", "log(p / (1 - p)) of the label's probability p"),
        )
    },
}
MARGINS = [name for name, field in SHARD.items() if field.optional]
SCORES = {
    "train_labels": Field("int64", ("n_train",), "class"),
    "test_labels": Field("int64", ("n_test",), "class"),
    "memorization": Field("float32", ("n_train",), "difference of two probabilities"),
    "memorization_se": Field("float32", ("n_train",), "standard error"),
    "n_in": Field("int64", ("n_train",), "models trained with the example"),
    "n_out": Field("int64", ("n_train",), "models trained without the example"),
    "influence/*/train_index": Field("int64", ("class_train",), "training example"),
    "influence/*/test_index": Field("int64", ("class_test",), "test example"),
    "influence/*/influence": Field(
        "float32", ("class_train", "class_test"), "difference of two probabilities"
    ),
    "influence/*/influence_se": Field("float32", ("class_train", "class_test"), "standard error"),
    "influence/*/z": Field(
        "float32", ("class_train", "class_test"), "evidence, standard errors", optional=True
    ),
}
ALL_PAIRS = {
    "train_labels": Field("int64", ("n_train",), "class"),
    "test_labels": Field("int64", ("n_test",), "class"),
    "n_in": Field("int64", ("n_train",), "models trained with the example"),
    "n_out": Field("int64", ("n_train",), "models trained without the example"),
    "test_right": Field("int64", ("n_test",), "models that are right on the example"),
    "influence": Field("float32", ("n_train", "n_test"), "difference of two probabilities"),
}
ACCURACIES = {
    "*/trial": Field("int64", ("models",), "trial"),
    "*/test_accuracy": Field("float64", ("models",), "percent"),
    "*/test_correct": Field("uint8", ("models", "test_bytes"), "bit: predicted its label"),
    "*/train_accuracy": Field(
        "float64", ("models",), "percent, on the examples trained on as they are", optional=True
    ),
    "*/n_removed": Field("int64", ("models",), "training examples left out"),
}


def declared(contract: Mapping[str, Field], name: str) -> tuple[str, Field]:
    """Return the pattern and the field that declare the dataset `name`. Raises ValueError."""
    for pattern, field in contract.items():
        if fnmatchcase(name, pattern):
            return pattern, field
    raise ValueError(f"{name} is not a field of this kind of file")
