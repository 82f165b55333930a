"""Fetch remote files from a mirror folder or the network; verify each before it is used.

`data/sources.yaml` lists the URLs, sizes and checksums. An interrupted download resumes. pooch,
which does the same, cannot resume.
"""

import hashlib
import http.client
import os
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path, PurePosixPath

import yaml

from memaudit import __version__, store
from memaudit.errors import AuditError

MIRROR = "MEMAUDIT_MIRROR"  # environment variable: folders with files fetched by other means
PROGRESS_SECONDS = 5.0
TIMEOUT_SECONDS = 60.0  # without a byte from the server
PAUSES = (1.0, 5.0)  # seconds before a retry when the server is busy or the connection broke
_BLOCK = 1 << 18  # bytes

Report = Callable[[str], object]


@dataclass(frozen=True)
class Source:
    """One remote file, an entry of `data/sources.yaml`.

    `file` is the name it is kept under, `urls` are tried in order, `size` is in bytes. A file
    without a checksum is never downloaded; the user supplies it. `members` maps the data files in
    an archive to "sha256:...", "md5:..." or, where no checksum is published, "bytes:...".
    """

    file: str
    urls: list[str]
    size: int | None
    sha256: str | None
    md5: str | None
    licence: str
    citation: str
    use: str
    checked: str
    members: dict[str, str] = field(default_factory=dict)

    @property
    def has_checksum(self) -> bool:
        return bool(self.sha256 or self.md5)

    @property
    def folder(self) -> str:
        """The folder that the archive is extracted to."""
        return PurePosixPath(next(iter(self.members))).parts[0]


class _TransferError(Exception):
    """A transfer failed; received bytes are kept. `temporary`: a retry may succeed."""

    def __init__(self, message: str, temporary: bool = True):
        super().__init__(message)
        self.temporary = temporary


def read_sources(path: str | Path) -> dict[str, Source]:
    """Read `data/sources.yaml` as name -> Source.

    Raises AuditError when it cannot be read, or an entry lacks a field or has an unknown one.
    """
    try:
        with open(path, encoding="utf-8") as file:
            entries = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise AuditError(f"{path}: the list of sources cannot be read ({why})") from None
    known = {item.name for item in fields(Source)}
    required = {item.name for item in fields(Source) if item.default_factory is MISSING}
    if not isinstance(entries, dict):
        raise AuditError(f"{path}: not a list of sources; expected one entry per file")
    for name, entry in entries.items():
        found = set(entry) if isinstance(entry, dict) else set()
        if wrong := sorted(map(str, (found - known) | (required - found))):
            raise AuditError(f"{path}, {name}: missing or unknown: {', '.join(wrong)}")
    return {name: Source(**entry) for name, entry in entries.items()}


def forms(kind: str, sources: Mapping[str, Source]) -> list[Source]:
    """Return the published forms of `kind` ("cifar10" or "cifar100"), the binary version first."""
    return [sources[name] for name in (kind, f"{kind}_python") if name in sources]


def accepted(kind: str, sources: Mapping[str, Source]) -> str:
    """Name the archives and the extracted folders of all forms of `kind`."""
    known = forms(kind, sources)
    archives = " or ".join(form.file for form in known)
    folders = " or ".join(f"{form.folder}/" for form in known)
    return f"the archive ({archives}) or the extracted folder ({folders})"


def fetch(
    name: str,
    sources_path: str | Path,
    folder: str | Path,
    mirror: str | Path | None = None,
    report: Report = print,
) -> Path:
    """Return the path of a remote file in `folder`, verified; fetch it if it is not there yet.

    `name` is an entry of `sources_path`. The file is looked for in `folder`, then in the folders of
    `mirror` (by default those of MEMAUDIT_MIRROR, separated as in PATH), then at its URLs. A
    download goes to `<file>.part` and resumes from there; size and checksums are verified before
    the file gets its name. `report` receives lines of progress.

    Raises AuditError, naming file or URL and remedy: unknown name, mirror not found, another size
    or checksum than published, no connection, transfer interrupted, disk full, no known checksum.
    """
    sources = read_sources(sources_path)
    if name not in sources:
        raise AuditError(f"{sources_path}: no source {name!r}; known are {', '.join(sources)}")
    source, target = sources[name], Path(folder) / sources[name].file
    if target.exists():
        check_file(target, source, report)
        return target
    mirrors = mirror_folders(mirror)
    for place in mirrors:
        if (place / source.file).is_file():
            report(f"{source.file}: taken from {place}")
            check_file(place / source.file, source, report)
            with store.atomic_write(target) as temporary:
                shutil.copyfile(place / source.file, temporary)
            return target
    looked = f" (looked in {', '.join(map(str, mirrors))})" if mirrors else ""
    elsewhere = f"in a folder named by the environment variable {MIRROR}{looked}"
    if not source.has_checksum:
        raise AuditError(
            f"{target}: file not found, and not downloaded because its checksum is unknown. "
            f"Download {source.urls[0]} and put it there, or {elsewhere}"
        )
    problems = _download(target, source, report)
    if problems:
        part = _part(target)
        kept = f" {_size(part):,} bytes are kept; run again to resume." if _size(part) else ""
        where = f"the file in another way and put it at {target}, or {elsewhere}"
        if source.members:
            kind = name.removesuffix("_python")
            where = (
                f"{accepted(kind, sources)} in another way and put it in {target.parent}/, or "
                f"{elsewhere}, or name it in dataset.{kind}.path"
            )
        raise AuditError(
            f"{source.file} could not be fetched. {'; '.join(problems)}.{kept} Or get {where}"
        )
    return target


def mirror_folders(mirror: str | Path | None) -> list[Path]:
    """Return the folders of `mirror`, or of MEMAUDIT_MIRROR where it is None."""
    text = os.environ.get(MIRROR, "") if mirror is None else str(mirror)
    origin = f"the environment variable {MIRROR}" if mirror is None else "the mirror"
    places = [Path(part).expanduser() for part in text.split(os.pathsep) if part]
    for place in places:
        if not place.is_dir():
            raise AuditError(f"{place}: directory not found; {origin} names it")
    return places


def _difference(path: Path, source: Source) -> str:
    """Describe how the file differs from the published one; empty where it does not."""
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        return f"expected {source.size:,} bytes, found {size:,}"
    for kind, expected in (("sha256", source.sha256), ("md5", source.md5)):
        if expected:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, kind).hexdigest()
            if found != expected.lower():
                return f"expected {kind} {expected}, found {found}"
    return ""


def check_file(path: Path, source: Source, report: Report) -> None:
    """Raise AuditError unless the file at `path` is the published one."""
    try:
        difference = _difference(path, source)
    except OSError as error:
        raise AuditError(f"{path}: cannot be read ({error.strerror or error})") from error
    if difference:
        raise AuditError(
            f"{path}: not the published file ({difference}), so it is not used. Move it "
            f"elsewhere, or put the file of {source.urls[0]} in its place"
        )
    if not source.has_checksum:
        report(f"{path}: its checksum is unknown; used without verification")


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _download(target: Path, source: Source, report: Report) -> list[str]:
    """Download to `target` from the first URL that works; return what failed, empty on success."""
    part, problems = _part(target), []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in source.urls:
            try:
                resumed = part.exists()
                _transfer(url, part, source, report)
                difference = _difference(part, source)
                if difference and resumed:  # the bytes of an earlier run may be wrong
                    report(f"{source.file}: {difference}; restarting the download")
                    part.unlink()
                    _transfer(url, part, source, report)
                    difference = _difference(part, source)
            except _TransferError as error:
                problems.append(f"{url}: {error}")
                continue
            if not difference:
                with open(part, "rb+") as handle:
                    os.fsync(handle.fileno())
                part.replace(target)
                report(f"{target}: {target.stat().st_size:,} bytes, verified")
                return []
            part.unlink()
            problems.append(f"{url}: not the published file ({difference}), not used")
    except OSError as error:
        raise AuditError(
            f"{part}: cannot be written ({error.strerror or error}). Free disk space or correct "
            "the permissions and run again; the download resumes"
        ) from error
    return problems


def _transfer(url: str, part: Path, source: Source, report: Report) -> None:
    """Complete `part` from `url`: resume while attempts bring bytes, retry temporary failures."""
    pauses = list(PAUSES)
    while source.size is None or _size(part) != source.size:
        before = _size(part)
        try:
            return _receive(url, part, source, report)
        except _TransferError as error:
            if _size(part) > before:
                report(f"{source.file}: {error}; resuming")
            elif error.temporary and pauses:
                report(f"{source.file}: {error}; retrying in {pauses[0]:g} s")
                time.sleep(pauses.pop(0))
            else:
                raise
    return None


def _open(url: str, start: int) -> http.client.HTTPResponse:
    """Request the file from byte `start` on."""
    headers = {"User-Agent": f"memaudit/{__version__}"} | (
        {"Range": f"bytes={start}-"} if start else {}
    )
    try:
        request = urllib.request.Request(url, headers=headers)
        found: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
        return found
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # what is there is longer than the file
            return _open(url, 0)
        temporary = error.code in (408, 429) or error.code >= 500
        raise _TransferError(
            f"the server answered {error.code} {error.reason}", temporary
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        temporary = isinstance(reason, OSError | http.client.HTTPException) and not isinstance(
            reason, ConnectionRefusedError | socket.gaierror
        )
        raise _TransferError(f"no connection ({reason})", temporary) from None


def _receive(url: str, part: Path, source: Source, report: Report) -> None:
    """Request the rest of the file and append it to `part`."""
    done = _size(part)
    if source.size is not None and done > source.size:
        done = 0
    with _open(url, done) as response:
        if response.status != 206:  # the whole file, also where the server ignores Range
            done = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            raise _TransferError("the server sent another part of the file than requested")
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else source.size
        shown = time.monotonic()
        with open(part, "ab" if done else "wb") as out:
            while True:
                try:
                    block = response.read(_BLOCK)
                except (OSError, http.client.HTTPException) as error:
                    raise _TransferError(f"interrupted after {done:,} bytes ({error})") from None
                if not block:
                    break
                out.write(block)
                done += len(block)
                if source.size is not None and done > source.size:
                    return  # larger than published; the check reports it
                if time.monotonic() - shown >= PROGRESS_SECONDS:
                    shown = time.monotonic()
                    of = f" of {total / 1e6:.1f} MB, {done / total:.0%}" if total else " MB"
                    report(f"{source.file}: {done / 1e6:.1f}{of}")
    if total is not None and done < total:
        raise _TransferError(f"interrupted after {done:,} of {total:,} bytes")
