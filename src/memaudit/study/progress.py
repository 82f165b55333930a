"""Progress of a running study: models trained and the remaining time.

Snakemake and its logger plugins count jobs; a job may train many models for hours.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from memaudit.models.shards import partial_folder, trials_of
from memaudit.study import plan

SECONDS, LONGEST = 15.0, 600.0  # between lines: at first, and in a run of ten hours or more
LINES = 60  # a pause is this part of the time so far

# shard -> (estimated seconds per model, models left to train or None if it is up to date)
Wanted = Callable[[], Mapping[Path, tuple[float, Callable[[], int] | None]]]


def trained(shard: Path, since: float) -> int:
    """Return how many models of a shard are trained.

    All if it was written after `since`, a time as of `time.time()`; else those kept beside it, as
    an older shard is one that is to be rebuilt.
    """
    if _is_new(shard, since):
        return len(trials_of(shard.stem))
    return sum(1 for _ in partial_folder(shard).glob("*.h5"))


def line(
    done: Mapping[Path, int], costs: Mapping[Path, float], first: float, seconds: float
) -> str:
    """Return the state as one line.

    `done` has the trained models and `costs` the estimated seconds per model, by shard. `first` is
    the cost of what was done when the run began, `seconds` ago. The remaining time follows from the
    cost of what was trained since, however many jobs run at a time.
    """
    total = {shard: len(trials_of(shard.stem)) for shard in costs}
    models, of = sum(done.values()), sum(total.values())
    cost = sum(done[shard] * costs[shard] for shard in costs)
    left = sum((total[shard] - done[shard]) * costs[shard] for shard in costs)
    text = f"models: {models:,} of {of:,} trained"
    if cost > first and left:
        text += f", {plan.duration(left * seconds / (cost - first) / 3600)} left"
    return text


def watch(wanted: Wanted) -> None:
    """Print the state periodically until the process ends.

    `wanted` is called every time, as a checkpoint may leave fewer shards to train.
    """
    threading.Thread(target=_watch, args=(wanted,), daemon=True).start()


def _watch(wanted: Wanted) -> None:
    started, shown, first = time.time(), "", None
    now: Mapping[Path, tuple[float, Callable[[], int] | None]] = {}
    complete: set[Path] = set()  # not looked at again: file systems are shared
    while True:
        looked = time.monotonic()
        with suppress(RuntimeError):  # the set of jobs changed while it was read
            now = wanted()
        costs = {shard: cost for shard, (cost, _) in now.items()}
        complete |= {
            shard
            for shard, (_, left) in now.items()
            if shard not in complete and (not left or _is_new(shard, started))
        }
        renamed = _with_other_shards(costs)
        done = {}
        for shard, (_, left) in now.items():
            models = len(trials_of(shard.stem))
            if shard in complete or not left:
                done[shard] = models
            elif shard.parent in renamed:
                with suppress(Exception):  # the job that cannot read them says so
                    done[shard] = models - left()
            done.setdefault(shard, trained(shard, started))
        if first is None:
            first = sum(done[shard] * costs[shard] for shard in costs)
        state = line(done, costs, first, time.time() - started) if costs else ""
        count = state.partition(" trained")[0]
        if count != shown and any(left for _, left in now.values()):
            sys.stderr.write(f"{state}\n")
            shown = count
        # a long run is not watched as closely: its log would be long, too
        rare = min(LONGEST, (time.time() - started) / LINES)
        time.sleep(max(SECONDS, rare, 20 * (time.monotonic() - looked)))


def _with_other_shards(wanted: Iterable[Path]) -> set[Path]:
    """Return the folders that also hold shards of other trials: those of another models_per_job.

    Their models are taken over; to count them takes reading the shards.
    """
    known = set(wanted)
    folders = {shard.parent for shard in known}
    return {folder for folder in folders if not known.issuperset(folder.glob("*.h5"))}


def _is_new(shard: Path, since: float) -> bool:
    return shard.exists() and shard.stat().st_mtime >= since
