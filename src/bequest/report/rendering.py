"""Templates to text, and numbers as people read them."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import jinja2

_PREFIXES = (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def render(template: str, **values: Any) -> str:
    """A template of this package with `values`; what they hold is escaped."""
    return _environment().get_template(template).render(**values)


def number(value: Any, digits: int = 4) -> str:
    """A figure with so many significant digits; a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (value == round(value) and abs(value) < 1e6):
        return f"{value:.0f}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−", 1) if value < 0 else f"{value:.{digits}g}"


def signed(value: float | None) -> str:
    """A difference: two decimals, always with a sign."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def operations(value: float | None) -> str:
    """Floating-point operations with a prefix: `2.5 TFLOP`."""
    return "–" if value is None else f"{_prefixed(value)}FLOP"


def memory(value: float | None) -> str:
    """Bytes as MB or GB."""
    return "–" if value is None else f"{_prefixed(value)}B"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `4.2 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def words(name: str) -> str:
    """`class_entropy` becomes `class entropy`."""
    return name.replace("_", " ").replace("-", " ")


def _prefixed(value: float) -> str:
    for prefix, size in _PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bequest.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (number, signed, operations, memory, duration, words)
    environment.filters["transposed"] = lambda columns: list(zip(*columns))
    environment.filters.update({function.__name__: function for function in filters})
    return environment
