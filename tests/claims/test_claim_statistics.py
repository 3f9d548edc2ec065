"""Intervals and verdicts against values computed by hand, and coverage by simulation."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from bequest.claims.statistics import difference_interval, mean_and_deviation, verdict
from bequest.errors import InputError


def test_interval_is_at_least_students() -> None:
    # mean 2, sd 1, n 3: t(0.975, 2) = 4.3027, so 2 -+ 4.3027 / sqrt(3) = 2 -+ 2.4841
    low, high = difference_interval([1.0, 2.0, 3.0])
    assert low == pytest.approx(-0.48414, abs=1e-4)
    assert high == pytest.approx(4.48414, abs=1e-4)


def test_interval_is_at_least_the_bootstraps() -> None:
    # Many values with one far to the right: the bootstrap reaches further there than t does.
    values = np.random.default_rng(0).exponential(size=60) ** 2
    bootstrap = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    student = stats.t.interval(0.95, 59, values.mean(), values.std(ddof=1) / math.sqrt(60))
    low, high = difference_interval(values.tolist())
    assert bootstrap.high > student[1]
    assert high == pytest.approx(bootstrap.high)
    assert low == pytest.approx(student[0])


def test_interval_is_the_same_each_time() -> None:
    values = [0.3, -0.1, 0.8, 0.2, 0.9]
    assert difference_interval(values) == difference_interval(values)


@pytest.mark.parametrize("value", [0.0, 1.5, -2.0])
def test_equal_differences_give_a_point(value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert difference_interval([value] * 4) == (value, value)


def test_rounding_is_no_spread() -> None:
    low, high = difference_interval([0.3 - 0.2, 0.2 - 0.1, 0.1 - 0.0])
    assert low == high == pytest.approx(0.1)


def test_nearly_degenerate_differences_fall_back() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = difference_interval([0.0, 0.0, 0.0, 0.0, 1.0])
    assert math.isfinite(low)
    assert low < 0.2 < high


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [1.0, 2.0, math.nan]])
def test_refuses_too_few_or_not_finite(values: list[float]) -> None:
    with pytest.raises(InputError):
        difference_interval(values)


def test_coverage_with_five_seeds() -> None:
    """Why the hull: the bootstrap alone misses its 95 % by far with five differences."""
    rng = np.random.default_rng(7)
    trials, covered, alone = 400, 0, 0
    for _ in range(trials):
        values = rng.normal(0.5, 1.0, size=5)
        low, high = difference_interval(values.tolist(), resamples=300)
        covered += low <= 0.5 <= high
        resamples = values[rng.integers(0, 5, size=(300, 5))].mean(axis=1)
        low, high = np.quantile(resamples, [0.025, 0.975])
        alone += low <= 0.5 <= high
    assert covered / trials >= 0.93
    assert alone / trials < 0.90


@pytest.mark.parametrize(
    ("interval", "by", "expected"),
    [
        ((0.1, 2.0), 0.0, "holds"),
        ((0.1, 2.0), 0.1, "undecided"),
        ((-2.0, -0.1), 0.0, "fails"),
        ((-1.0, 1.0), 0.0, "undecided"),
        ((-0.5, 1.0), -1.0, "holds"),
        ((8.0, 9.9), 10.0, "fails"),
        ((0.0, 0.0), 0.0, "undecided"),
        (None, 0.0, "undecided"),
    ],
)
def test_verdict(interval: tuple[float, float] | None, by: float, expected: str) -> None:
    assert verdict(interval, by=by) == expected


def test_a_failed_run_never_helps_its_arm() -> None:
    above, below = (1.0, 2.0), (-2.0, -1.0)
    assert verdict(above, by=0.0, better_failed=True) == "undecided"
    assert verdict(above, by=0.0, than_failed=True) == "holds"
    assert verdict(below, by=0.0, than_failed=True) == "undecided"
    assert verdict(below, by=0.0, better_failed=True) == "fails"


def test_mean_and_deviation() -> None:
    assert mean_and_deviation([]) == (None, None)
    assert mean_and_deviation([3.0]) == (3.0, None)
    # deviations -2, 0, 2: sqrt(8 / 2) = 2
    assert mean_and_deviation([1.0, 3.0, 5.0]) == (3.0, 2.0)
