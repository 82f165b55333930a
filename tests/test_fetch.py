"""Remote files, from a server on this machine that can be told to misbehave."""

import hashlib
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from memaudit.data import fetch as module
from memaudit.data.fetch import fetch, read_sources
from memaudit.errors import AuditError

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes: several blocks
ROOT = Path(__file__).resolve().parents[1]


class Server(ThreadingHTTPServer):
    """Serves `content`; `give` caps the bytes of each answer, one entry an answer."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.give, self.knows_ranges, self.seen = CONTENT, [], True, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.seen.append((self.path, asked))
        if not self.path.endswith("/file.bin"):
            self.send_error(404, "Not Found")
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and server.knows_ranges and start >= len(server.content):
            self.send_error(416, "Range Not Satisfiable")
            return
        if asked and server.knows_ranges:
            self.send_response(206)
            end = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        else:
            start = 0
            self.send_response(200)
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # the client may have had enough
            self.wfile.write(body[: server.give.pop(0)] if server.give else body)


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch):
    monkeypatch.delenv("MEMAUDIT_MIRROR", raising=False)
    monkeypatch.setattr(module, "PAUSES", ())
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def get(tmp_path):
    """Fetch one file that the given URLs have; keyword arguments replace fields of its source."""

    def run(*urls, mirror=None, report=lambda text: None, **changes):
        entry = {
            "file": "file.bin",
            "urls": list(urls) or ["http://127.0.0.1:9/file.bin"],
            "size": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "md5": hashlib.md5(CONTENT).hexdigest(),
            **dict.fromkeys(("licence", "citation", "use", "checked"), "none"),
        }
        (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"it": entry | changes}))
        return fetch("it", tmp_path / "sources.yaml", tmp_path / "data", mirror, report)

    return run


@pytest.fixture
def part(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "file.bin.part"


def test_a_file_is_fetched_once(tmp_path, server, get):
    path = get(server.url)
    assert path == tmp_path / "data" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert get(server.url) == path
    assert server.seen == [("/file.bin", None)]
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


def test_size_and_checksums_need_not_all_be_known(server, get):
    assert get(server.url, size=None, sha256=None).read_bytes() == CONTENT


def test_an_interrupted_transfer_resumes(server, get):
    server.give = [300_000, 400_000]
    lines = []
    assert get(server.url, report=lines.append).read_bytes() == CONTENT
    assert [asked for _, asked in server.seen] == [None, "bytes=300000-", "bytes=700000-"]
    assert "interrupted after 300,000 of 1,024,000 bytes" in lines[0]


def test_a_temporary_failure_is_retried(server, get, monkeypatch):
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))
    server.give = [0, 300_000, 0]
    lines = []
    assert get(server.url, report=lines.append).read_bytes() == CONTENT
    assert [asked for _, asked in server.seen] == [None, None, "bytes=300000-", "bytes=300000-"]
    assert "retrying in 0 s" in lines[0]
    with pytest.raises(AuditError, match="404"):  # this does not pass
        get(server.url.replace("file.bin", "gone"), file="other.bin")
    assert [path for path, _ in server.seen[4:]] == ["/gone"]


def test_received_bytes_are_kept_for_the_next_run(server, get, part):
    server.give = [300_000, 0]
    with pytest.raises(AuditError, match=r"interrupted after 300,000 .* 300,000 bytes are kept"):
        get(server.url)
    assert part.read_bytes() == CONTENT[:300_000]
    assert get(server.url).read_bytes() == CONTENT
    assert server.seen[-1][1] == "bytes=300000-"
    assert not part.exists()


def test_a_server_without_ranges_starts_again(server, get, part):
    server.knows_ranges = False
    part.write_bytes(CONTENT[:500_000])
    assert get(server.url).read_bytes() == CONTENT
    assert server.seen == [("/file.bin", "bytes=500000-")]


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize(
    "left", [b"x" * 500_000, b"x" * len(CONTENT), b"x" * 2_000_000], ids=["part", "all", "more"]
)
def test_a_wrong_partial_file_is_discarded(server, get, part, left, size):
    part.write_bytes(left)
    assert get(server.url, size=size).read_bytes() == CONTENT
    assert server.seen[-1][1] is None


def test_a_complete_partial_file_needs_no_server(get, part):
    part.write_bytes(CONTENT)
    assert get().read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_wrong_content_is_not_used(tmp_path, server, get, size):
    server.content = CONTENT[:-1] + b"x"
    found = hashlib.sha256(server.content).hexdigest()
    right = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(AuditError, match=f"expected sha256 {right}, found {found}"):
        get(server.url, size=size)
    assert list((tmp_path / "data").iterdir()) == []


def test_another_size_is_not_used(tmp_path, server, get):
    server.content = CONTENT + b"more" * 200_000
    with pytest.raises(AuditError, match=r"expected 1,024,000 bytes, found 1,\d\d\d,\d\d\d"):
        get(server.url)
    assert list((tmp_path / "data").iterdir()) == []


def test_the_next_url_is_tried(server, get):
    missing = server.url.replace("file.bin", "gone")
    assert get(missing, server.url).read_bytes() == CONTENT


def test_not_found_is_reported(server, get):
    missing = server.url.replace("file.bin", "gone")
    with pytest.raises(AuditError, match=rf"{missing}: the server answered 404 Not Found"):
        get(missing)


def test_offline_says_what_to_do(tmp_path, server, get):
    server.shutdown()
    server.server_close()
    with pytest.raises(AuditError) as caught:
        get(server.url)
    message = str(caught.value)
    assert f"{server.url}: no connection" in message
    assert f"put it at {tmp_path / 'data' / 'file.bin'}" in message
    assert "MEMAUDIT_MIRROR" in message


def test_a_mirror_precedes_the_network(tmp_path, get, monkeypatch):
    for name in ("empty", "mirror"):
        (tmp_path / name).mkdir()
    (tmp_path / "mirror" / "file.bin").write_bytes(CONTENT)
    monkeypatch.setenv("MEMAUDIT_MIRROR", f"{tmp_path / 'empty'}:{tmp_path / 'mirror'}")
    path = get()
    assert path.parent == tmp_path / "data"
    assert path.read_bytes() == CONTENT
    path.unlink()
    assert get(mirror=tmp_path / "mirror") == path


def test_a_mirror_is_checked_too(tmp_path, get):
    (tmp_path / "file.bin").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(AuditError, match=r"file\.bin: not the published file \(expected sha256"):
        get(mirror=tmp_path)
    assert not (tmp_path / "data" / "file.bin").exists()
    with pytest.raises(AuditError, match=r"nowhere: directory not found; the mirror names it"):
        get(mirror=tmp_path / "nowhere")


def test_a_file_supplied_by_the_user_is_checked(tmp_path, get, part):
    part.with_name("file.bin").write_bytes(b"half")
    with pytest.raises(AuditError, match=r"file\.bin: not the .*found 4\), .* Move it elsewhere"):
        get()
    with pytest.raises(AuditError, match=r"file\.bin: not the published .*expected sha256"):
        get(size=None)


def test_without_a_checksum_nothing_is_downloaded(tmp_path, server, get):
    unknown = dict.fromkeys(("size", "sha256", "md5"))
    with pytest.raises(AuditError, match=r"its checksum is unknown.*Download http"):
        get(server.url, **unknown)
    assert server.seen == []
    (tmp_path / "file.bin").write_bytes(b"anything")
    lines = []
    assert get(mirror=tmp_path, report=lines.append, **unknown).read_bytes() == b"anything"
    assert any("its checksum is unknown" in line for line in lines)


def test_a_full_disk_is_reported(server, get, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_receive", full)
    with pytest.raises(AuditError, match=r"file\.bin\.part: cannot be written \(No space left"):
        get(server.url)


def test_progress_is_reported(server, get, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS_SECONDS", 0)
    lines = []
    get(server.url, report=lines.append)
    assert any("of 1.0 MB, " in line and line.endswith("%") for line in lines)


def test_an_unknown_name_and_a_broken_list(tmp_path, get):
    with pytest.raises(AuditError, match=r"no source 'other'; known are cifar10, cifar10_python"):
        fetch("other", ROOT / "data" / "sources.yaml", tmp_path)
    with pytest.raises(AuditError, match="missing or unknown: colour"):
        get(colour="red")
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(AuditError, match="not a list of sources"):
        read_sources(tmp_path / "list.yaml")
    (tmp_path / "list.yaml").write_text("a: [1\n")
    for name in ("list", "none"):
        with pytest.raises(AuditError, match=rf"{name}\.yaml: the list of sources cannot be read"):
            read_sources(tmp_path / f"{name}.yaml")


def test_every_shipped_source_is_complete():
    sources = read_sources(ROOT / "data" / "sources.yaml")
    assert len({source.file for source in sources.values()}) == len(sources)
    for name, source in sources.items():
        assert all(url.startswith("https://") for url in source.urls), name
        assert source.licence and source.citation and source.use and source.checked, name
        for kind, length in (("sha256", 64), ("md5", 32)):
            value = getattr(source, kind)
            assert value is None or (len(value) == length and int(value, 16) >= 0), name
    assert [name for name, source in sources.items() if not source.has_checksum] == ["fz_matrix"]
