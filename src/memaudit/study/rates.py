"""Training rates measured here, by `memaudit doctor` or before a run of a network of one's own."""

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from memaudit import store
from memaudit.models.network_names import network_source

FILE = Path("data/rates.json")  # in the working folder


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Images per second of a network on a device (kind "cpu" or "gpu"), one process, one model.

    Forward and backward pass, update and loader, for images of `side` x `side` pixels in batches of
    `batch_size`. `precision` is that of `Recipe`. `source` is the `network_source` of a network of
    the user's own, as an edit changes its rate.
    """

    kind: str
    network: str
    precision: str
    side: int
    batch_size: int
    images_per_second: float
    device: str
    source: str | None = None


def add(measured: list[Rate]) -> None:
    """Write rates, which replace those of the same kind, network and precision."""
    known = {(rate.kind, rate.network, rate.precision): rate for rate in [*_read(), *measured]}
    store.write_text(FILE, json.dumps([asdict(rate) for rate in known.values()], indent=1) + "\n")
    reread()


def find(kind: str, network: str, precision: str) -> Rate | None:
    """Return the rate of a network and precision on this kind of device, if it was measured."""
    wanted = kind, network, precision
    found = next((rate for rate in _kept(FILE.absolute()) if _key(rate) == wanted), None)
    return found if found and found.source == network_source(network) else None


def reread() -> None:
    """Read the file again when it is next needed: another process may have written it."""
    _kept.cache_clear()


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
