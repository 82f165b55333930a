"""Training rates that `memaudit doctor` measured; `plan` goes by them instead of stated ones."""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from memaudit import store

FILE = Path("data/rates.json")  # in the working folder


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Images per second of a network on a device (kind "cpu" or "gpu"), one process, one model.

    Forward and backward pass, update and loader, for images of `side` x `side` pixels in batches of
    `batch_size`. `precision` is that of `Recipe`.
    """

    kind: str
    network: str
    precision: str
    side: int
    batch_size: int
    images_per_second: float
    device: str


def add(measured: list[Rate]) -> None:
    """Write rates, which replace those of the same kind, network and precision."""
    known = {(rate.kind, rate.network, rate.precision): rate for rate in [*_read(), *measured]}
    with store.atomic_write(FILE) as temporary:
        text = json.dumps([asdict(rate) for rate in known.values()], indent=1)
        temporary.write_text(f"{text}\n", encoding="utf-8")
    _kept.cache_clear()


def find(kind: str, network: str, precision: str) -> Rate | None:
    """Return the rate of a network and precision on this kind of device, if it was measured."""
    wanted = kind, network, precision
    rates = (rate for rate in _kept(FILE.absolute()) if _key(rate) == wanted)
    return next(rates, None)


def _key(rate: Rate) -> tuple[str, str, str]:
    return rate.kind, rate.network, rate.precision


@cache
def _kept(path: Path) -> list[Rate]:
    return _read()


def _read() -> list[Rate]:
    """Return the rates of the file; one that is damaged has none."""
    try:
        return [Rate(**rate) for rate in json.loads(FILE.read_text(encoding="utf-8"))]
    except (OSError, TypeError, ValueError):
        return []
