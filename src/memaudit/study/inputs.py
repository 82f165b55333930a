"""What a configured study reads: images, remote files, annotations and published scores."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from memaudit.data.cifar import data_files, locate
from memaudit.data.fetch import Source, forms, read_sources
from memaudit.models.network_names import network_source
from memaudit.study.checks import read_config
from memaudit.study.config import Config
from memaudit.study.home import home

Files = str | list[str]  # a file, or [] for none, as Snakemake has it


class Inputs:
    """The files that a study reads; paths are relative to the working folder.

    A `config` given as a dict is checked first (AuditError). `sources` is the list of remote files;
    by default `data/sources.yaml` of the working folder, or the shipped one.
    """

    def __init__(self, config: Config | Mapping[str, Any], sources: str | Path | None = None):
        self.config: Final = config if isinstance(config, Config) else read_config(config)
        self._sources: Final = sources

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration as plain values, the same however it was written."""
        return self.config.model_dump()

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.config.dataset.name

    @property
    def dataset(self) -> str:
        """The file of the images."""
        return f"data/{self.name}.h5"

    @property
    def digest(self) -> str:
        """The file that changes only if the images do."""
        return f"data/{self.name}.sha256"

    @property
    def image_settings(self) -> dict[str, Any]:
        """The settings of the configured kind of dataset."""
        return self.settings["dataset"].get(self.config.dataset.kind) or {}

    @property
    def is_synthetic(self) -> bool:
        """Whether the images are generated."""
        return self.config.dataset.kind == "longtail"

    @property
    def sources(self) -> str:
        """The list of remote files."""
        own = Path("data/sources.yaml")
        return str(self._sources or (own if own.exists() else home() / own))

    @cached_property
    def remote_files(self) -> dict[str, Source]:
        """The remote files there are, by name."""
        return read_sources(self.sources)

    @property
    def file_names(self) -> dict[str, str]:
        """The name of every remote file in the list of sources, by its file name."""
        return {source.file: name for name, source in self.remote_files.items()}

    def remote_file(self, name: str) -> str:
        """The path of a remote file once it is downloaded."""
        return f"data/{self.remote_files[name].file}"

    @cached_property
    def cifar(self) -> str:
        """The archive or extracted folder of CIFAR; empty for other datasets."""
        kind = self.config.dataset.kind
        if kind not in ("cifar10", "cifar100"):
            return ""
        own = getattr(self.config.dataset, kind).path
        return str(locate(kind, self.remote_files, own, Path("data"), self.config.mirror))

    @property
    def cifar_files(self) -> list[str]:
        """The files that are read at `cifar`."""
        known = forms(self.config.dataset.kind, self.remote_files)
        return [str(file) for file in data_files(Path(self.cifar), known)] if self.cifar else []

    @property
    def embedding(self) -> str | None:
        """What other photographs of a scene are searched by; None if they are not."""
        embedding = self.config.duplicates.embedding
        if embedding == "auto":
            return "network" if self.config.dataset.kind in ("cifar10", "cifar100") else None
        return embedding

    @property
    def duplicate_rule(self) -> str:
        """Which pairs count without an annotation, such as "exact, near ≥ 0.55"."""
        duplicates = self.config.duplicates
        found = {"exact": "exact", "near": f"near ≥ {duplicates.near:g}"}
        if self.embedding:
            found["scene"] = f"scene p ≥ {duplicates.scene:g}"
        return ", ".join(found[kind] for kind in duplicates.kinds if kind in found) or "none"

    @property
    def embedding_source(self) -> str | None:
        """The checksum of the file that defines an embedding of the user's own."""
        name = self.embedding or ""
        return network_source(name, what="embedding") if ":" in name else None

    @property
    def annotation(self) -> Files:
        """The annotation of F&Z's pairs, if it is used."""
        if self.config.dataset.kind == "cifar100" and self.config.duplicates.fz_annotation:
            return self.fz_annotation
        return []

    @property
    def fz_annotation(self) -> str:
        """The annotation of F&Z's pairs."""
        return str(home() / "data/annotations/cifar100_fz_pairs.csv")

    @property
    def cifair(self) -> Files:
        """ciFAIR's list of duplicates, if it is used."""
        if self.cifar and self.config.duplicates.cifair:
            return self.remote_file(self.config.dataset.kind.replace("cifar", "cifair"))
        return []

    @property
    def published(self) -> Files:
        """The published pairs or scores, if they are used."""
        match self.config.memorization.source:
            case "published":
                return self.remote_file("fz_pairs")
            case "published_matrix" | "published_runs":
                return self.config.memorization.path or self.remote_file("fz_matrix")
        return []

    @property
    def published_memorization(self) -> Files:
        """F&Z's memorization of all examples, if their published pairs are used."""
        if self.config.memorization.source == "published":
            return self.remote_file("fz_memorization")
        return []

    @property
    def needed_files(self) -> dict[str, str]:
        """The names of the remote files that the study needs, by path."""
        known = {f"data/{file}": name for file, name in self.file_names.items()}
        wanted = (*self.cifar_files, self.published, self.published_memorization, self.cifair)
        return {path: known[path] for path in wanted if isinstance(path, str) and path in known}
