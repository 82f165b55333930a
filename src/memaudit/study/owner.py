"""Which dataset's study a results folder belongs to."""

from pathlib import Path

from memaudit import store
from memaudit.errors import AuditError


def check_owner(results: str | Path, dataset: str) -> Path:
    """Return the file that names the owner of a results folder.

    Raises AuditError if the folder belongs to a study of another dataset.
    """
    note = Path(results) / "dataset.txt"
    owner = note.read_text(encoding="utf-8").strip() if note.exists() else dataset
    if owner != dataset:
        raise AuditError(
            f"results = {str(results)!r}: this folder holds the study of the dataset {owner!r}, "
            f"but this study is of {dataset!r}. Set results to another folder, such as "
            f"results/{dataset}, or delete {note} to overwrite the other study"
        )
    return note


def claim(results: str | Path, dataset: str) -> None:
    """Mark a results folder as that of a dataset; raises AuditError like `check_owner`."""
    note = check_owner(results, dataset)
    if not note.exists():
        store.write_text(note, f"{dataset}\n")
