"""Files from elsewhere: out of a mirror folder or the network, never used without a checksum.

`data/sources.yaml` says for each file where it comes from and how to tell that it is the right one.
A transfer that was cut off goes on where it stopped.
"""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from memaudit import __version__, store
from memaudit.errors import AuditError

MIRROR = "MEMAUDIT_MIRROR"  # environment variable: folders with files fetched by other means
PROGRESS_SECONDS = 5.0
TIMEOUT_SECONDS = 60.0  # without a byte from the server
PAUSES = (1.0, 5.0)  # seconds before another try when the server is busy or the line broke
_BLOCK = 1 << 18  # bytes


@dataclass(frozen=True)
class Source:
    """One remote file, an entry of `data/sources.yaml`.

    `file` is the name it is kept under, `urls` are tried in order, `size` is in bytes. Without a
    checksum it is never downloaded, but taken from where the user puts it.
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

    @property
    def has_checksum(self) -> bool:
        return bool(self.sha256 or self.md5)


class _CutOffError(Exception):
    """A transfer failed; the message says how. What has arrived is kept.

    `passing`: the next try may do better.
    """

    def __init__(self, message: str, passing: bool = True):
        super().__init__(message)
        self.passing = passing


def read_sources(path: str | Path) -> dict[str, Source]:
    """Read `data/sources.yaml`: name -> Source.

    Raises AuditError when it cannot be read, or an entry has not exactly the fields of `Source`.
    """
    try:
        with open(path, encoding="utf-8") as file:
            entries = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise AuditError(f"{path}: the list of sources cannot be read ({why})") from None
    names = {field.name for field in fields(Source)}
    if not isinstance(entries, dict):
        raise AuditError(f"{path}: not a list of sources; an entry a file is expected")
    for name, entry in entries.items():
        found = set(entry) if isinstance(entry, dict) else set()
        if found != names:
            wrong = ", ".join(sorted(map(str, found ^ names)))
            raise AuditError(f"{path}, {name}: missing or unknown: {wrong}")
    return {name: Source(**entry) for name, entry in entries.items()}


def fetch(
    name: str,
    sources_path: str | Path,
    folder: str | Path,
    mirror: str | Path | None = None,
    report: Callable[[str], object] = print,
) -> Path:
    """The path of a remote file, checked, in `folder`; it is fetched if it is not there yet.

    `name` is an entry of `sources_path`. Looked for in this order: `folder` itself; the folders of
    `mirror`, else those of the environment variable MEMAUDIT_MIRROR (several are separated as in
    PATH), by its file name; its URLs. A download is written to `<file>.part` beside it and goes on
    from what an earlier one left there; size and checksums are checked before it gets its name.
    `report` is called with lines of progress.

    Raises AuditError, naming the file or URL and what to do: an unknown name, a mirror that is not
    there, another size or checksum than stated, no connection, a transfer cut off, a full disk, a
    file without a known checksum that nobody has supplied.
    """
    sources = read_sources(sources_path)
    if name not in sources:
        raise AuditError(f"{sources_path}: no source {name!r}; there are {', '.join(sources)}")
    source, target = sources[name], Path(folder) / sources[name].file
    if target.exists():
        _check_file(target, source, report)
        return target
    mirrors = _mirrors(mirror)
    for place in mirrors:
        if (place / source.file).is_file():
            return _copy(place / source.file, target, source, report)
    if not source.has_checksum:
        raise AuditError(
            f"{target}: is not there, and is not downloaded because no checksum of it is known. "
            f"Download {source.urls[0]} and put it there"
            f"{_mirror_hint(mirrors, ', or in a folder named by')}."
        )
    _download(target, source, mirrors, report)
    return target


def _mirrors(mirror: str | Path | None) -> list[Path]:
    text = os.environ.get(MIRROR, "") if mirror is None else str(mirror)
    origin = f"the environment variable {MIRROR}" if mirror is None else "the mirror"
    places = [Path(part).expanduser() for part in text.split(os.pathsep) if part]
    for place in places:
        if not place.is_dir():
            raise AuditError(f"{place}: {origin} names this folder, but there is no such folder")
    return places


def _mirror_hint(mirrors: list[Path], lead: str) -> str:
    looked = f" (looked in {', '.join(map(str, mirrors))})" if mirrors else ""
    return f"{lead} the environment variable {MIRROR}{looked}"


def _difference(path: Path, source: Source) -> str:
    """What tells the file from the published one, or an empty text."""
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        return f"expected {source.size:,} bytes, found {size:,}"
    for kind in ("sha256", "md5"):
        expected = getattr(source, kind)
        if expected:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, kind).hexdigest()
            if found != expected.lower():
                return f"expected {kind} {expected}, found {found}"
    return ""


def _check_file(path: Path, source: Source, report: Callable[[str], object]) -> None:
    try:
        difference = _difference(path, source)
    except OSError as error:
        raise AuditError(f"{path}: cannot be read ({error.strerror or error})") from error
    if difference:
        raise AuditError(
            f"{path}: not the published file ({difference}), so it is not used. Delete it, or put "
            f"the file of {source.urls[0]} in its place."
        )
    if not source.has_checksum:
        report(f"{path}: no checksum is known, taken as it is")


def _copy(origin: Path, target: Path, source: Source, report: Callable[[str], object]) -> Path:
    report(f"{source.file}: taken from {origin.parent}")
    _check_file(origin, source, report)
    with (
        store.atomic_write(target) as temporary,
        open(origin, "rb") as file,
        open(temporary, "wb") as out,
    ):
        while block := file.read(_BLOCK):
            out.write(block)
    return target


def _download(
    target: Path, source: Source, mirrors: list[Path], report: Callable[[str], object]
) -> None:
    part = target.with_name(f"{target.name}.part")
    problems = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in source.urls:
            try:
                resumed = _transfer(url, part, source, report)
                difference = _difference(part, source)
                if difference and resumed:  # what an earlier run left may be at fault
                    report(f"{source.file}: {difference}; once more from the start")
                    part.unlink()
                    _transfer(url, part, source, report)
                    difference = _difference(part, source)
            except _CutOffError as error:
                problems.append(f"{url}: {error}")
                continue
            if not difference:
                _flush(part)
                part.replace(target)
                report(f"{target}: {target.stat().st_size:,} bytes, checked")
                return
            part.unlink()
            problems.append(f"{url}: not the published file ({difference}), not used")
    except OSError as error:
        raise AuditError(
            f"{part}: could not be written ({error.strerror or error}). Make room or mend the "
            "permissions and run again; the download goes on where it was."
        ) from error
    kept = f" {_size(part):,} bytes are kept; running again goes on." if _size(part) else ""
    raise AuditError(
        f"{source.file} could not be fetched. {'; '.join(problems)}.{kept} Or get the file in "
        f"another way and put it at {target}{_mirror_hint(mirrors, ' or in a folder named by')}."
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _flush(path: Path) -> None:
    with open(path, "rb+") as handle:
        os.fsync(handle.fileno())


def _transfer(url: str, part: Path, source: Source, report: Callable[[str], object]) -> bool:
    """Bring `part` to its end from `url`, again and again as long as a try brings bytes.

    After a failure that may pass by itself it waits and tries again, twice.

    Returns whether bytes of an earlier run are in it. Raises _CutOffError when no more bytes come.
    """
    earlier, pauses = _size(part), list(PAUSES)
    while True:
        before = _size(part)
        if source.size is not None and before == source.size:
            return earlier > 0
        try:
            from_start = _request(url, part, source, report)
            return earlier > 0 and not from_start
        except _CutOffError as error:
            if _size(part) > before:
                report(f"{source.file}: {error}; going on")
            elif error.passing and pauses:
                report(f"{source.file}: {error}; once more in {pauses[0]:g} s")
                time.sleep(pauses.pop(0))
            else:
                raise


def _request(url: str, part: Path, source: Source, report: Callable[[str], object]) -> bool:
    """One request for the rest of the file. Returns whether the server began at its start."""
    start = _size(part)
    if source.size is not None and start > source.size:
        start = 0
    headers = {"User-Agent": f"memaudit/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # it has no bytes beyond ours: ours are not its
            part.unlink()
            return _request(url, part, source, report)
        passing = error.code in (408, 429) or error.code >= 500
        raise _CutOffError(f"the server answered {error.code} {error.reason}", passing) from None
    except urllib.error.URLError as error:
        passing = isinstance(error.reason, TimeoutError | ConnectionResetError)
        raise _CutOffError(f"no connection ({error.reason})", passing) from None
    except (OSError, http.client.HTTPException) as error:
        raise _CutOffError(f"no connection ({error})") from None
    except ValueError as error:
        raise _CutOffError(f"no connection ({error})", passing=False) from None
    with response:
        if response.status != 206:  # the server ignores Range
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise _CutOffError("the server sent another part of the file than was asked for")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdecimal() else source.size
        _receive(response, part, start, total, source, report)
    return start == 0


def _receive(
    response: http.client.HTTPResponse,
    part: Path,
    start: int,
    total: int | None,
    source: Source,
    report: Callable[[str], object],
) -> None:
    """Write the body to `part` from byte `start` on; _CutOffError when it ends before `total`."""
    shown, done = time.monotonic(), start
    with open(part, "ab" if start else "wb") as out:
        while True:
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise _CutOffError(f"cut off after {done:,} bytes ({error})") from None
            if not block:
                break
            out.write(block)
            done += len(block)
            if source.size is not None and done > source.size:
                return  # more than the file has: the check says so
            if time.monotonic() - shown >= PROGRESS_SECONDS:
                shown = time.monotonic()
                of = f" of {total / 1e6:.1f} MB, {done / total:.0%}" if total else " MB"
                report(f"{source.file}: {done / 1e6:.1f}{of}")
    if total is not None and done < total:
        raise _CutOffError(f"cut off after {done:,} of {total:,} bytes")
