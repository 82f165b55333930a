"""Locks between processes, which the system frees when their holder dies, however it dies."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def take(path: Path, content: str = "") -> IO[str] | None:
    """Lock `path`, made if need be; None while another process holds it. Closing it frees it.

    `content` is left in the file, for people and for those who wait. On a file system without
    locks it is given to everyone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = open(path, "a+")  # noqa: SIM115, it is the caller's to close
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:
            return file
        try:
            current = path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            current = False
        if current:
            break
        file.close()  # its last holder removed it after we had opened it
        path.parent.mkdir(parents=True, exist_ok=True)
    file.truncate(0)
    file.write(content)
    file.flush()
    return file


@contextmanager
def alone(
    path: Path,
    content: str,
    patience: float,
    report: Callable[[str], None],
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Callable[[], None]]:
    """Run with `path` locked, waiting for the process that holds it while that shows life.

    What is yielded is to be called now and then, as the sign of life. Without one for `patience`
    seconds, or when `stopping()`, those who wait go on beside the holder: a node that died may keep
    a lock of a shared file system for long, and what is written here appears by rename, so that
    two writers cost time but break nothing.
    """
    file = take(path, content)
    if file is None:
        report(f"waiting for {_read(path) or 'another process'}, which holds {path}")
        seen, sign = time.monotonic(), _sign_of_life(path)
        while file is None and time.monotonic() - seen < patience and not stopping():
            time.sleep(0.5)
            file = take(path, content)
            if (now := _sign_of_life(path)) != sign:
                seen, sign = time.monotonic(), now
        if file is None:
            report(f"no sign of life at {path} for {patience:.0f} s: going on beside its holder")
    beat = time.monotonic()

    def live() -> None:
        nonlocal beat
        if file is not None and time.monotonic() - beat > 10:
            beat = time.monotonic()
            os.utime(file.fileno())

    try:
        yield live
    finally:
        if file is not None:
            file.close()


def _sign_of_life(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
