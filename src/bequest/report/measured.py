"""Measured arms in pages: a mark names study, size and arms; the figures come from `results/`.

`<!-- measured ssd-kd default ssd-kd uniform-noise -->` becomes a phrase with the mean of each arm,
its spread, and what a run cost. Importing this imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bequest.claims.results import ArmFigures, Report
from bequest.errors import unknown

_MARK = re.compile(r"<!-- measured (\S+) (\S+) ((?:[a-z0-9-]+ )+)-->")
_REFERENCES = ("teacher", "unpruned")


def fill(markdown: str, reports: Sequence[Report]) -> str:
    """The page with a phrase in place of each mark; `not measured yet` without such a result.

    Raises:
        InputError: For an arm that the result does not have.
    """

    def phrase(mark: re.Match[str]) -> str:
        study, size, arms = mark.group(1), mark.group(2), mark.group(3).split()
        found = [report for report in reports if (report.study, report.size) == (study, size)]
        return measured(found[0], arms) if found else "not measured yet"

    return _MARK.sub(phrase, markdown)


def measured(report: Report, arms: Sequence[str]) -> str:
    """`ssd-kd 96.1 ± 0.5, uniform-noise 10.0 ± 0.0; teacher 97.7 (accuracy, 5 seeds, 41 CPU s)`.

    The metric, the unpruned or teaching network's figure, and the cost are those of the first arm.

    Args:
        report: Of a claim run.
        arms: Names of its arms, at least one.

    Raises:
        InputError: For an arm that the report does not have.
    """
    for name in arms:
        if name not in report.arms:
            raise unknown("measured arm", name, report.arms)
    first = report.arms[arms[0]]
    metric, sign = _shown(first.metric)
    parts = [f"{name} {_spread(report.arms[name], sign)}" for name in arms]
    notes = [metric.replace("_", " "), f"{report.seeds} seeds"]
    if first.cpu_seconds is not None:
        notes.append(f"{first.cpu_seconds:.0f} CPU s")
    return f"{', '.join(parts)}{_reference(first, metric)} ({', '.join(notes)})"


def _shown(metric: str) -> tuple[str, int]:
    """What a reader expects: a gap, not the negative gap that claims compare; and its sign."""
    plain = metric.removeprefix("negative_")
    return plain, 1 if plain == metric else -1


def _spread(arm: ArmFigures, sign: int) -> str:
    if arm.mean is None:
        return "failed"
    mean = f"{sign * arm.mean:.1f}"
    return mean if arm.sd is None else f"{mean} ± {arm.sd:.1f}"


def _reference(arm: ArmFigures, metric: str) -> str:
    for network in _REFERENCES:
        figures = arm.metrics.get(f"{network}_{metric}", [])
        values = [value for value in figures if value is not None]
        if values:
            return f"; {network} {sum(values) / len(values):.1f}"
    return ""
