"""The best of a few positive numbers, coarse to fine."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence


def coarse_to_fine(
    score: Callable[[tuple[float, ...]], float],
    start: Sequence[float],
    *,
    factors: Sequence[float],
    stop: float = 1.1,
    lower: Sequence[float] | None = None,
    upper: Sequence[float] | None = None,
) -> tuple[tuple[float, ...], float]:
    """Climbs from `start` to better neighbours, in a direction as long as it helps.

    Neighbours are a factor more or less in one number or several; where none is better, the roots
    of the factors are taken.

    Args:
        score: To be maximised; called once a point.
        start: Positive numbers.
        factors: The first factor of each number; 1 keeps the number as it is.
        stop: Ends when all factors are below it.
        lower: Smallest value of each number.
        upper: Largest value of each number.

    Returns:
        The best point and its score.
    """
    bounds = list(zip(lower or [0.0] * len(start), upper or [math.inf] * len(start)))

    def inside(values: Iterable[float]) -> tuple[float, ...]:
        return tuple(min(max(v, low), high) for v, (low, high) in zip(values, bounds))

    best = inside(start)
    # Points by their exponents: a product of factors and of their inverses may miss 1 by rounding.
    known = {_key(best): score(best)}
    factors = list(factors)
    while max(factors) >= stop:
        moved = False
        choices = [(1.0,) if f < stop else (1.0, f, 1 / f) for f in factors]
        # The first number is changed alone before the others are.
        for direction in sorted(itertools.product(*choices), key=_distance)[1:]:
            while True:
                point = inside(value * change for value, change in zip(best, direction))
                if _key(point) not in known:
                    known[_key(point)] = score(point)
                if known[_key(point)] <= known[_key(best)]:
                    break
                best, moved = point, True
        if not moved:
            factors = [math.sqrt(factor) for factor in factors]
    return best, known[_key(best)]


def _key(point: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(round(1e6 * math.log(value)) for value in point)


def _distance(direction: tuple[float, ...]) -> tuple[bool, ...]:
    """Sorts changes: of none, of the first number, of the second, ..., of several."""
    return tuple(change != 1.0 for change in reversed(direction))
