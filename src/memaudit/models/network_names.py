"""Names of networks, and the source file behind a network of the user's own. Needs no torch."""

import hashlib
import importlib
import importlib.util
import re
import traceback
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from memaudit.errors import AuditError

NETWORKS = ("fz_resnet50", "resnet50", "resnet18", "resnet9", "small", "tiny")

_OWN = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
own_files: set[Path] = set()  # source files of the user's functions that this process imports


def check_name(name: str) -> None:
    """Raise ValueError unless `name` is a shipped network or has the form package.module:function.

    The module itself is not looked for: see `network_source`.
    """
    if name not in NETWORKS and not _OWN.fullmatch(name):
        raise ValueError(
            f"unknown network {name!r}: use {', '.join(NETWORKS)}, or package.module:function for "
            "a function of your own"
        )


def network_source(name: str, folder: str | Path = ".", what: str = "network") -> str | None:
    """Return the sha256 of the file that defines a user's network; None for a shipped network.

    The module is looked for in `folder` (the study's), then among the installed packages. Nothing
    is imported. Files that the module imports in turn are not covered.

    Raises AuditError when the module is not found.
    """
    if name in NETWORKS:
        return None
    path = source_path(name, folder, what)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_path(name: str, folder: str | Path = ".", what: str = "network") -> Path:
    """Return the file of the module in `name` (package.module:function)."""
    importlib.invalidate_caches()
    module = name.partition(":")[0]
    top, *rest = module.split(".")
    spec = PathFinder.find_spec(top, [str(Path(folder).resolve())])
    if spec is None or spec.origin is None:  # a folder without __init__.py does not hide a package
        spec = importlib.util.find_spec(top) or spec
    for part in rest:
        top = f"{top}.{part}"
        locations = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(top, locations) if locations else None
    if spec is None or not _is_source(spec):
        raise AuditError(
            f"{what} {name}: module {module} not found in {Path(folder).resolve()} or among the "
            f"installed packages; create {module.replace('.', '/')}.py or correct the name"
        )
    return Path(str(spec.origin))


def own_place(error: BaseException) -> str:
    """Return where a user's function raised `error`, "file.py, line 3"; empty if none did."""
    frames = [
        f"{Path(frame.filename).name}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve() in own_files
    ]
    return frames[-1] if frames else ""


def _is_source(spec: ModuleSpec) -> bool:
    return bool(spec.has_location and spec.origin and Path(spec.origin).is_file())
