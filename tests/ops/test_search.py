"""The coarse-to-fine search on functions whose maximum is known."""

from __future__ import annotations

import math

from bequest.ops.search import coarse_to_fine


def test_it_finds_the_top_of_a_hill() -> None:
    asked = []

    def score(point: tuple[float, ...]) -> float:
        asked.append(point)
        return -(math.log(point[0] / 7) ** 2) - math.log(point[1] / 0.3) ** 2

    best, value = coarse_to_fine(score, (1.0, 1.0), factors=(4.0, 2.0), stop=1.05)
    assert abs(math.log(best[0] / 7)) < 0.05
    assert abs(math.log(best[1] / 0.3)) < 0.05
    assert value == max(map(score, set(asked)))
    assert len(set(asked)) * 2 == len(asked)  # each once, and once more in the line above


def test_a_narrow_valley_is_followed() -> None:
    """Only the product counts at first: along an axis nothing gets better."""

    def score(point: tuple[float, ...]) -> float:
        first, second = map(math.log, point)
        return -10 * (first + second) ** 2 - 0.01 * (first - 3) ** 2

    best, _ = coarse_to_fine(score, (1.0, 1.0), factors=(4.0, 4.0), stop=1.1)
    assert abs(math.log(best[0]) - 3) < 0.3


def test_a_factor_of_one_keeps_a_number_and_a_bound_is_kept() -> None:
    best, _ = coarse_to_fine(sum, (1.0, 1.0), factors=(4.0, 1.0), upper=(3.0, math.inf))
    assert best == (3.0, 1.0)


def test_a_flat_score_ends() -> None:
    assert coarse_to_fine(lambda point: 0.0, (2.0,), factors=(4.0,)) == ((2.0,), 0.0)
