"""From the records of runs to the figures of arms and the verdicts of claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bequest.claims.plan import Arm
from bequest.claims.results import ArmFigures, ClaimVerdict
from bequest.claims.runs import Outcome, Record
from bequest.claims.statistics import (
    MINIMUM_PAIRS,
    difference_interval,
    mean_and_deviation,
    verdict,
)
from bequest.studies.base import Claim


def arm_figures(arm: Arm, outcomes: Sequence[Outcome], metric: str | None) -> ArmFigures:
    """An arm's figures from how its runs ended, seed by seed.

    Args:
        arm: Which.
        outcomes: One for each seed, in order.
        metric: The figure to summarise; None takes the first that the runs report.

    Returns:
        Mean and spread over the runs that ended and report `metric`; the others are `failures`.
    """
    records = [outcome.record for outcome in outcomes]
    ended = [record for record in records if record is not None]
    names = list(dict.fromkeys(name for record in ended for name in record["metrics"]))
    values = {n: [r["metrics"].get(n) if r is not None else None for r in records] for n in names}
    metric = metric or (names[0] if names else "accuracy")
    failures = {str(seed): o.error for seed, o in enumerate(outcomes) if o.record is None}
    for seed, record in enumerate(records):
        if record is not None and metric not in record["metrics"]:
            failures[str(seed)] = f"the result has no '{metric}', only {', '.join(names)}"
    mean, deviation = mean_and_deviation([v for v in values.get(metric, []) if v is not None])
    sections = _sections(ended)
    counted = [figures for name, figures in sections.items() if name != "evaluation"]
    totals = {
        kind: sum(figures[kind] for figures in counted) if ended else None
        for kind in ("flops", "cpu_seconds", "seconds")
    }
    kind = type(arm.method)
    return ArmFigures(
        metric=metric,
        mean=mean,
        sd=deviation,
        values=values.get(metric, [None] * len(records)),
        metrics=values,
        sections=sections,
        config={
            "study": arm.study.id,
            "arm": arm.job_arm,
            "class": f"{kind.__module__}:{kind.__qualname__}",
            "fields": asdict(arm.method),
        },
        failures=failures,
        **totals,
    )


def _sections(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Mean seconds, CPU seconds and FLOPs of a run, by section."""
    kinds = ("seconds", "cpu_seconds", "flops")
    names = dict.fromkeys(name for record in records for kind in kinds for name in record[kind])
    return {
        name: {
            kind: sum(record[kind].get(name, 0.0) for record in records) / len(records)
            for kind in kinds
        }
        for name in names
    }


def judge(claim: Claim, arms: dict[str, ArmFigures]) -> ClaimVerdict:
    """The verdict on a claim from the figures of its two arms, paired by seed.

    Missing runs are named in `excluded`; what they do to the verdict: `statistics.verdict`.
    """
    values: dict[str, list[float | None]] = {}
    excluded = []
    for name in dict.fromkeys((claim.better, claim.than)):
        arm = arms[name]
        values[name] = arm.metrics.get(claim.metric, [None] * len(arm.values))
        for seed, value in enumerate(values[name]):
            if value is None:
                reason = arm.failures.get(str(seed), f"the result has no '{claim.metric}'")
                excluded.append(f"{name}, seed {seed}: {reason}")
    differences = [
        None if b is None or t is None else b - t
        for b, t in zip(values[claim.better], values[claim.than])
    ]
    pairs = [difference for difference in differences if difference is not None]
    interval = difference_interval(pairs) if len(pairs) >= MINIMUM_PAIRS else None
    said = asdict(claim)
    del said["sizes"]  # the report is of one
    return ClaimVerdict(
        **said,
        verdict=verdict(
            interval,
            by=claim.by,
            better_failed=None in values[claim.better],
            than_failed=None in values[claim.than],
        ),
        difference=sum(pairs) / len(pairs) if pairs else None,
        interval=interval,
        pairs=len(pairs),
        differences=differences,
        excluded=excluded,
    )


def metric_of(arm: str, claims: Sequence[Claim]) -> str:
    """The metric of the first claim that the arm is a part of."""
    return next(claim.metric for claim in claims if arm in (claim.better, claim.than))


def environment_of(records: Sequence[Record]) -> dict[str, Any]:
    """That of the first run; `differs` names what other runs had otherwise."""
    if not records:
        return {}
    first = dict(records[0]["environment"])
    others = [record["environment"] for record in records[1:]]
    differs = [name for name in first if any(other.get(name) != first[name] for other in others)]
    return {**first, "differs": differs} if differs else first
