"""FFCV's file of a dataset: the training examples, then the test examples, as raw uint8 images.

It is written page by page here, because FFCV's DatasetWriter starts processes and waits for ever
when one of them fails (a full disk is enough). A test compares the bytes of both. Import this with
`memaudit.models.ffcv_loader.pipeline` only.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ffcv.fields import IntField, NDArrayField
from ffcv.types import (
    ALLOC_TABLE_TYPE,
    CURRENT_VERSION,
    TYPE_ID_HANDLER,
    FieldDescType,
    HeaderType,
    get_metadata_type,
)

from memaudit import store
from memaudit.data import mapped
from memaudit.data.dataset import Dataset

SMALLEST_PAGE = 1 << 23  # bytes, FFCV's default


def write_beton(dataset: Dataset, path: str | Path) -> None:
    """Write `dataset` to `path`: fields "image" (h, w, 3) uint8 and "label" int64.

    Sample i is training example i, sample n_train + j is test example j.

    Raises AuditError when it cannot be written.
    """
    with store.atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.writelines(_pieces(dataset))


def is_beton_of(dataset: Dataset, path: str | Path) -> bool:
    """Return whether `path` holds exactly `dataset`, comparing every byte."""
    try:
        with open(path, "rb") as file:
            same = all(file.read(len(piece)) == piece for piece in _pieces(dataset))
            return same and not file.read(1)
    except FileNotFoundError:
        return False


def _pieces(dataset: Dataset) -> Iterator[bytes]:
    """Yield the file's bytes: header, fields, metadata, pages of images, allocation table."""
    shape = dataset.train_images.shape[1:]
    n, size = dataset.n_train + dataset.n_test, int(np.prod(shape))
    page = max(SMALLEST_PAGE, 1 << (size - 1).bit_length())
    per_page = page // size
    fields = {"image": NDArrayField(np.dtype("uint8"), shape), "label": IntField()}
    metadata_type = get_metadata_type(list(fields.values()))
    used = HeaderType.itemsize + len(fields) * FieldDescType.itemsize + n * metadata_type.itemsize
    first = -(-used // page) * page
    samples = np.arange(n, dtype=np.uint64)
    address = first + samples // per_page * page + samples % per_page * size

    header = np.zeros((), HeaderType)
    header["version"], header["num_fields"], header["page_size"] = (
        CURRENT_VERSION,
        len(fields),
        page,
    )
    header["num_samples"], header["alloc_table_ptr"] = n, first + -(-n // per_page) * page
    yield header.tobytes()
    yield b"".join(_description(name, field) for name, field in fields.items())
    metadata = np.zeros(n, metadata_type)
    metadata["f0"] = address
    metadata["f1"] = np.concatenate([dataset.train_labels, dataset.test_labels])
    yield metadata.tobytes()
    yield bytes(first - used)
    for start in range(0, n, per_page):
        images = _images(dataset, start, min(n, start + per_page))
        yield images
        yield bytes(page - len(images))
    table = np.zeros(n, ALLOC_TABLE_TYPE)
    table["sample_id"], table["ptr"], table["size"] = samples, address, size
    yield table.tobytes()


def _description(name: str, field: Any) -> bytes:
    description = np.zeros((), FieldDescType)
    numbers = {handler: number for number, handler in TYPE_ID_HANDLER.items()}
    description["type_id"] = numbers[type(field)]
    description["name"][: len(name)] = np.frombuffer(name.encode("ascii"), np.uint8)
    description["arguments"] = field.to_binary()[0]
    return description.tobytes()


def _images(dataset: Dataset, start: int, stop: int) -> bytes:
    """Return the pixels of samples `start` to `stop`, training and then test examples."""
    n = dataset.n_train
    train = dataset.train_images[start : min(stop, n)]
    test = dataset.test_images[max(start - n, 0) : max(stop - n, 0)]
    content = train.tobytes() + test.tobytes()
    mapped.release(dataset.train_images)
    mapped.release(dataset.test_images)
    return content
