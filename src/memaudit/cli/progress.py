"""Progress of a subcommand on stderr."""

import sys
import time
from collections.abc import Callable

SECONDS = 5.0  # between two lines where stderr is not a terminal


def show_progress(what: str) -> Callable[[int, int], None]:
    """Return a function that prints "3 of 10 `what`" and the time left, from (done, total)."""
    started = shown = time.monotonic()
    terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if done < total and now - shown < (0.1 if terminal else SECONDS):
            return
        shown = now
        left = (now - started) * (total - done) / done
        text = f"{done:,} of {total:,} {what}"
        text += f", {left:.0f} s left" if done < total else f" in {now - started:.0f} s"
        end = "\n" if done == total or not terminal else ""
        print(("\r\033[K" if terminal else "") + text, end=end, file=sys.stderr, flush=True)

    return show
