"""Paired statistics of claims: the interval of a mean difference, and the verdict it allows.

Arms are compared seed by seed, so what counts is the differences `d_s = better_s - than_s`. Five
seeds are few, and the usual bootstrap interval of a mean is too narrow then: it can only see
the spread among five numbers, and covers the true mean of normal differences in 80 to 85 % of the
cases instead of 95 %. Student's t interval covers exactly 95 % of them, but knows no skewness.
An interval here is the hull of both: never narrower than either, so a verdict needs the consent
of both. With many seeds the two agree, and the hull costs nothing.

Each claim is judged by itself at 95 %; over many claims some verdicts will be wrong by chance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal

import numpy as np

from bequest.errors import InputError

Verdict = Literal["holds", "fails", "undecided"]

MINIMUM_PAIRS = 3
"""With fewer pairs no interval is worth its name, and every verdict is `undecided`."""


def difference_interval(
    differences: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> tuple[float, float]:
    """The interval of the mean of paired differences: the hull of bootstrap and t interval.

    The bootstrap is bias-corrected and accelerated (Efron 1987, scipy's `bootstrap`), or the
    percentile one where that is not defined. Differences that are all equal have no spread to
    learn from: the interval is the point itself.

    Args:
        differences: At least `MINIMUM_PAIRS` finite numbers, one for each seed.
        confidence: Of both intervals, in (0, 1).
        resamples: Of the bootstrap.
        seed: Of the resampling; the same differences give the same interval.

    Returns:
        Lower and upper end.

    Raises:
        InputError: For too few differences, or one that is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or len(values) < MINIMUM_PAIRS:
        raise InputError(
            f"an interval needs {MINIMUM_PAIRS} differences or more, not shape {values.shape}."
        )
    if not np.isfinite(values).all():
        raise InputError(f"the differences {values.tolist()} are not all finite.")
    mean = float(values.mean())
    # Rounding alone must not look like spread: 0.3 - 0.2 and 0.2 - 0.1 are equal here.
    if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return mean, mean
    student = _t_interval(values, confidence)
    resampled = _bootstrap_interval(values, confidence, resamples, seed)
    return min(student[0], resampled[0]), max(student[1], resampled[1])


def verdict(
    interval: tuple[float, float] | None,
    *,
    by: float,
    better_failed: bool = False,
    than_failed: bool = False,
) -> Verdict:
    """What the interval of `better - than` says about a difference of at least `by`.

    A run that failed leaves its seed without a pair, and that must never help an arm: where
    `better` failed for a seed, the claim cannot hold, and where `than` failed, it cannot fail.

    Args:
        interval: Of the mean difference; None when there are too few pairs.
        by: Smallest difference that counts.
        better_failed: Whether a run of the arm that should be ahead failed.
        than_failed: Whether a run of the other arm failed.

    Returns:
        `holds` when the whole interval lies above `by`, `fails` when it lies below, else
        `undecided`.
    """
    if interval is None:
        return "undecided"
    low, high = interval
    if low > by and not better_failed:
        return "holds"
    if high < by and not than_failed:
        return "fails"
    return "undecided"


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (n - 1); None where there are not enough values."""
    count = len(values)
    if count == 0:
        return None, None
    mean = math.fsum(values) / count
    if count == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (count - 1))


def _t_interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    from scipy import stats

    count = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(count)
    reach = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * error
    mean = float(values.mean())
    return mean - reach, mean + reach


def _bootstrap_interval(
    values: np.ndarray, confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    from scipy import stats

    # The correction divides by the jackknife's spread, which can vanish though the values differ.
    for kind in ("BCa", "percentile"):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = stats.bootstrap(
                (values,),
                np.mean,
                n_resamples=resamples,
                confidence_level=confidence,
                method=kind,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            break
    return float(found.low), float(found.high)
