"""What every job of the workflow shares: a log, progress on the terminal, errors in a line."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from memaudit.errors import AuditError, Stopped

PROGRESS_SECONDS = 10.0


def _in_words(kind, error, trace) -> None:
    """Ctrl-C while a job's script still imports, before `job` is there to see it, says nothing."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _in_words


class Report:
    """Writes lines to a job's log, and now and then, unless `quiet`, to the terminal."""

    def __init__(self, *logs: IO[str], quiet: bool = False):
        self._logs = logs
        self._quiet = quiet
        self._shown = time.monotonic()

    def __call__(self, text: str) -> None:
        """A line for the log; the terminal gets one at most every ten seconds."""
        self.note(text)
        if not self._quiet and time.monotonic() - self._shown >= PROGRESS_SECONDS:
            self._say(text)

    def note(self, text: str) -> None:
        """A line for the log alone."""
        for log in self._logs:
            with suppress(OSError):  # a log that cannot be written, on a full disk, is no failure
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
                log.flush()

    def _say(self, text: str) -> None:
        self._shown = time.monotonic()
        print(text, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """A line for the log and, at once, for the terminal."""
        self.note(text)
        self._say(text)


@contextmanager
def job(
    log: str | Path, history: str | Path | None = None, quiet: bool = False
) -> Iterator[Report]:
    """Run a job's work with its log open.

    An AuditError, what the system refuses (OSError) and want of memory are told in a line, with no
    traceback, and the process ends with status 1; Stopped likewise, with the status of a process
    that SIGTERM ended. Anything else is a fault of ours and keeps its traceback. Snakemake deletes
    the log of an attempt before the next: what is written is kept in the file `history` too, and
    what that holds already opens the log. `quiet` keeps progress off the terminal.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(Path(log), "w"))]
        if history:
            files.append(stack.enter_context(_opened(Path(history), "a+")))
            files[1].seek(0)
            with suppress(OSError):
                files[0].write(files[1].read())
        report = Report(*files, quiet=quiet)
        started = time.monotonic()
        try:
            yield report
            report.note(f"done in {time.monotonic() - started:.1f} s")
        except KeyboardInterrupt:
            report("interrupted")
            sys.exit(130)
        except Stopped as stopped:
            report.say(str(stopped))
            sys.exit(143)
        except (AuditError, OSError, MemoryError) as error:
            report.say(f"error: {_words(error)}")
            sys.exit(1)


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[IO[str]]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, mode, encoding="utf-8")  # noqa: SIM115, closed below
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
