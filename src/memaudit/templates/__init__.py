"""Text for people: Jinja2 templates, filled with typed rows."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from memaudit.errors import require
from memaudit.names import printable


def render(template: str, /, **values: Any) -> str:
    """Return `template`.jinja of this folder, filled with `values`.

    Undefined names are errors. Raises AuditError when Jinja2 is not installed.
    """
    text: str = _environment().get_template(f"{template}.jinja").render(**values)
    return text


@cache
def _environment() -> Any:
    jinja2 = require("jinja2", extra="workflow")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("memaudit", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # plain text and Markdown; HTML is made from that
    )
    filters: dict[str, Callable[..., str]] = {"pp": pp, "p": p_value, "count": count, "ci": ci}
    environment.filters |= filters | {"printable": printable, "bytes": size}
    environment.tests["known"] = known
    return environment


def known(value: float | None) -> bool:
    """Return whether there is a value: neither None nor NaN."""
    return value is not None and value == value


def pp(value: float) -> str:
    """Return a number with two decimals, never -0.00; an infinite one is "not estimable"."""
    if math.isinf(value):
        return "not estimable"
    return f"{round(value, 2) + 0.0:.2f}"


def ci(bounds: Sequence[float]) -> str:
    """Return the bounds of a CI, "1.00 to 2.00" or "at least 1.00"; empty without one."""
    low, high = bounds
    if not known(low):
        return ""
    return f"at least {pp(low)}" if math.isinf(high) else f"{pp(low)} to {pp(high)}"


def p_value(value: float) -> str:
    """Return a p value with its sign, "= 0.012" or "< 0.001"; empty without one."""
    if not known(value):
        return ""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def count(n: int, noun: str) -> str:
    """Return a number with its noun, "1 example" or "1,015 examples"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def size(n: float) -> str:
    """Return a number of bytes in a unit that suits it, "890 kB" or "1.2 GB"."""
    unit, factor = ("GB", 1e9) if n >= 1e9 else ("MB", 1e6) if n >= 1e6 else ("kB", 1e3)
    return f"{n / factor:,.{0 if n >= 10 * factor else 1}f} {unit}"
