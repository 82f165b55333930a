"""Locks between processes (filelock), which the system releases when their holder ends."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from memaudit.errors import Stopped

POLL = 0.5  # seconds
HEARTBEAT = 10.0  # seconds
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def try_acquire(lock: FileLock) -> bool:
    """Acquire `lock` unless another process holds it."""
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except (Timeout, FileNotFoundError):  # the last holder may be deleting the folder just now
        return False
    return True


def _acquired(lock: FileLock, report: Callable[[str], None]) -> bool:
    """Acquire `lock` unless another process holds it; True where the file system has no locks."""
    try:
        return try_acquire(lock)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        report(f"{lock.lock_file}: {error.strerror}; continuing without the lock")
        return True


@contextmanager
def exclusive(
    folder: Path,
    owner: str,
    *,
    patience: float,
    report: Callable[[str], None],
    stopping: Callable[[], bool],
) -> Iterator[Callable[[], None]]:
    """Hold the lock of `folder`; yield a function to call regularly, as a heartbeat.

    filelock knows no heartbeat, and a shared file system may keep the lock of a crashed node until
    that node is back. So a process that waits continues without the lock when the holder has been
    inactive for `patience` seconds: files appear by renaming, so two writers cost time only.

    Raises Stopped when `stopping()` while waiting.
    """
    lock, note = FileLock(folder / "lock"), folder / "owner.txt"
    last, active = None, time.monotonic()
    while not _acquired(lock, report):
        if stopping():
            raise Stopped(f"stopped by SIGTERM while waiting for {lock.lock_file}")
        if last is None:
            report(f"waiting for {_read(note)}, which holds {lock.lock_file}")
        if (beat := _modified(note)) != last:
            last, active = beat, time.monotonic()
        if time.monotonic() - active > patience:
            report(f"lock holder inactive for {patience:.0f} s; continuing without the lock")
            break
        time.sleep(POLL)
    if lock.is_locked:
        note.write_text(owner, encoding="utf-8")
    last_beat = time.monotonic()

    def heartbeat() -> None:
        nonlocal last_beat
        if lock.is_locked and time.monotonic() - last_beat > HEARTBEAT:
            last_beat = time.monotonic()
            os.utime(note)

    try:
        yield heartbeat
    finally:
        lock.release()


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return "another process"
