"""What every job of the workflow shares: a log, progress on the terminal, errors as one line."""

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from memaudit.errors import AuditError, Stopped
from memaudit.models.network_names import own_place

PROGRESS_SECONDS = 10.0
UNEXPECTED = "unexpected error, "  # begins the last line of a log after a traceback


def _no_interrupt(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print no traceback on Ctrl-C while a script imports, before `job` can catch it, but log it.

    Scripts that import torch import this module first.
    """
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    elif given := getattr(sys.modules["__main__"], "snakemake", None):
        with suppress(SystemExit), _opened(Path(given.log[0]), "a") as log:
            Report(log).note("interrupted")


sys.excepthook = _no_interrupt


class Report:
    """Writes lines to a job's log and, unless `quiet`, to standard error.

    On a terminal the lines go to the log only: they would interrupt Snakemake's display.
    """

    def __init__(self, *logs: IO[str], quiet: bool = False):
        self._logs = logs
        self._quiet = quiet
        self._shown = time.monotonic()

    def __call__(self, text: str) -> None:
        """Log a line, and show it if the last one was shown ten seconds ago or earlier."""
        self.note(text)
        if not self._quiet and time.monotonic() - self._shown >= PROGRESS_SECONDS:
            self._show(text)

    def note(self, text: str) -> None:
        """Log a line."""
        for log in self._logs:
            with suppress(OSError):  # a log that cannot be written, on a full disk, is no failure
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
                log.flush()

    def say(self, text: str) -> None:
        """Log a line and show it."""
        self.note(text)
        self._show(text)

    def fail(self, text: str) -> None:
        """Log a line and print it, also on a terminal."""
        self.note(text)
        print(text, file=sys.stderr, flush=True)

    def _show(self, text: str) -> None:
        self._shown = time.monotonic()
        if not sys.stderr.isatty():
            print(text, file=sys.stderr, flush=True)


@contextmanager
def job(
    log: str | Path, history: str | Path | None = None, quiet: bool = False
) -> Iterator[Report]:
    """Run the work of a job with its log open.

    AuditError, OSError and MemoryError become one line without a traceback, and the process ends
    with status 1; Stopped likewise with status 143, as after SIGTERM. Any other exception has its
    traceback in the log. If a function of the user's own raised it, it ends like AuditError, naming
    the file and line; otherwise it is a bug and passes. Snakemake deletes the log of an attempt
    before the next one: lines are also kept in the file `history`, and its content opens the log.
    `quiet` hides progress.
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
            report.fail(str(stopped))
            sys.exit(143)
        except (AuditError, OSError, MemoryError) as error:
            report.fail(f"error: {_message(error)}")
            sys.exit(1)
        except Exception as error:
            report.note("".join(traceback.format_exception(error)))
            words = f"{type(error).__name__}: {_one_line(error)}"
            if place := own_place(error):
                report.fail(f"error: {words}, raised in {place}; the log has the traceback")
                sys.exit(1)
            report.note(f"{UNEXPECTED}{words}")
            raise


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[IO[str]]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, mode, encoding="utf-8")  # noqa: SIM115, closed below
    except OSError as error:
        print(f"error: {_message(error)}", file=sys.stderr, flush=True)
        sys.exit(1)
    try:
        yield file
    finally:
        with suppress(OSError):  # what did not fit on a full disk is written again here
            file.close()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _message(error: Exception) -> str:
    """Return the message of our own errors, or the system's."""
    if isinstance(error, MemoryError):
        return "out of memory: use a machine with more, fewer jobs at a time, or a smaller study"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    return str(error)
