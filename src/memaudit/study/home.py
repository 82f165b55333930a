"""Where the workflow is: in a checkout, or in the installed package."""

from pathlib import Path

import memaudit
from memaudit.errors import AuditError


def home() -> Path:
    """Return the folder that holds Snakefile, workflow/, config/, profiles/ and envs/.

    In an installed wheel this is the folder `_home` of the package, in a checkout its root.
    """
    package = Path(memaudit.__file__).resolve().parent
    for folder in (package / "_home", package.parents[1]):
        if (folder / "Snakefile").is_file() and (folder / "config/config.yaml").is_file():
            return folder
    raise AuditError(
        f"{package}: installed without the workflow; install the wheel, or `pip install -e .` in a "
        "checkout"
    )
