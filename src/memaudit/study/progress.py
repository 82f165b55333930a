"""How far a running study is: models trained, models to go, time left."""

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from memaudit.models.shards import partial_folder, trials_of
from memaudit.study import plan

SECONDS = 15.0


def trained(shard: Path, since: float) -> int:
    """Models of a shard that are trained: all if it appeared since, else those kept beside it.

    `since` is a time as of `time.time()`; an older shard is one that is to be made anew.
    """
    if _made(shard, since):
        return len(trials_of(shard.stem))
    return sum(1 for _ in partial_folder(shard).glob("*.h5"))


def words(
    done: Mapping[Path, int], costs: Mapping[Path, float], first: float, seconds: float
) -> str:
    """The state as a line. `done` are models by shard, `costs` seconds a model as estimated.

    `first` is the cost that was done when watching began, `seconds` ago. The time left goes by what
    was trained since, however many jobs run at a time; nothing is said of it before there is some.
    """
    total = {shard: len(trials_of(shard.stem)) for shard in costs}
    models, of = sum(done.values()), sum(total.values())
    cost = sum(done[shard] * costs[shard] for shard in costs)
    left = sum((total[shard] - done[shard]) * costs[shard] for shard in costs)
    line = f"models: {models:,} of {of:,} trained"
    if cost > first and left:
        line += f", {plan.duration(left * seconds / (cost - first) / 3600)} to go"
    return line


Wanted = Callable[[], Mapping[Path, tuple[float, bool]]]


def watch(wanted: Wanted) -> None:
    """Print the state of the study's shards now and then, until the process ends.

    `wanted` gives for each shard the estimated seconds a model, and whether it is to be made; it is
    asked again each time, for a step on the way may leave less to do.
    """
    threading.Thread(target=_watch, args=(wanted,), daemon=True).start()


def _watch(wanted: Wanted) -> None:
    started, shown, first = time.time(), "", None
    now: Mapping[Path, tuple[float, bool]] = {}
    whole: set[Path] = set()  # not looked at again: file systems are shared
    while True:
        looked = time.monotonic()
        with suppress(RuntimeError):  # the set of jobs changed while it was read
            now = wanted()
        costs = {shard: cost for shard, (cost, _) in now.items()}
        whole |= {
            shard
            for shard, (_, to_do) in now.items()
            if shard not in whole and (not to_do or _made(shard, started))
        }
        done = {
            shard: len(trials_of(shard.stem)) if shard in whole else trained(shard, started)
            for shard in costs
        }
        if first is None:
            first = sum(done[shard] * costs[shard] for shard in costs)
        state = words(done, costs, first, time.time() - started) if costs else ""
        count = state.partition(" trained")[0]
        if count != shown and any(to_do for _, to_do in now.values()):
            sys.stderr.write(f"{state}\n")
            shown = count
        time.sleep(max(SECONDS, 20 * (time.monotonic() - looked)))


def _made(shard: Path, since: float) -> bool:
    return shard.exists() and shard.stat().st_mtime >= since
