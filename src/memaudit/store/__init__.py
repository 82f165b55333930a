"""Files of a study: declared HDF5 contents, atomic writing, checks on reading."""

from memaudit.store.checksum import SEAL_BYTES
from memaudit.store.fields import ACCURACIES, ALL_PAIRS, DATASET, MARGINS, SCORES, SHARD, Field
from memaudit.store.outputs import atomic_write, check_writable, is_stdout, write_text
from memaudit.store.reading import reading, rebuild_hint
from memaudit.store.system_errors import UnreadableError, system_error
from memaudit.store.writing import create, create_large, reserve_space

__all__ = [
    "ACCURACIES",
    "ALL_PAIRS",
    "DATASET",
    "MARGINS",
    "SCORES",
    "SEAL_BYTES",
    "SHARD",
    "Field",
    "UnreadableError",
    "atomic_write",
    "check_writable",
    "create",
    "create_large",
    "is_stdout",
    "reading",
    "rebuild_hint",
    "reserve_space",
    "system_error",
    "write_text",
]
