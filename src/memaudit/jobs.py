"""What every job of the workflow shares: a log, progress on the terminal, errors in a line."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from memaudit.errors import AuditError

PROGRESS_SECONDS = 10.0


def _in_words(kind, error, trace) -> None:
    """Ctrl-C while a job's script still imports, before `job` is there to see it, says nothing."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _in_words


class Report:
    """Writes lines to a job's log, and now and then to the terminal."""

    def __init__(self, log):
        self._log = log
        self._shown = time.monotonic()

    def __call__(self, text: str) -> None:
        """A line for the log; the terminal gets one at most every ten seconds."""
        with suppress(OSError):  # a log that cannot be written, on a full disk, is no failure
            self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
            self._log.flush()
        if time.monotonic() - self._shown >= PROGRESS_SECONDS:
            self._shown = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """A line for the log and, at once, for the terminal."""
        self._shown = -PROGRESS_SECONDS
        self(text)


@contextmanager
def job(log: str | Path) -> Iterator[Report]:
    """Run a job's work with its log open.

    An AuditError, what the system refuses (OSError) and want of memory are told in a line, with no
    traceback, and the process ends with status 1. Anything else is a fault of ours and keeps its
    traceback.
    """
    with _opened(Path(log)) as file:
        try:
            yield Report(file)
        except KeyboardInterrupt:
            file.write("interrupted\n")
            sys.exit(130)
        except (AuditError, OSError, MemoryError) as error:
            text = _words(error)
            with suppress(OSError):  # the disk may be full
                file.write(f"error: {text}\n")
                file.flush()
            print(f"error: {text}", file=sys.stderr, flush=True)
            sys.exit(1)


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115, closed below
    except OSError as error:
        print(f"error: {_words(error)}", file=sys.stderr, flush=True)
        sys.exit(1)
    try:
        yield file
    finally:
        with suppress(OSError):  # what did not fit on a full disk is tried once more
            file.close()


def _words(error: Exception) -> str:
    """What to tell the user: our own words, or the system's."""
    if isinstance(error, MemoryError):
        return "out of memory: take a machine with more, fewer jobs at a time, or a smaller study"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    return str(error)
