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
_REFERENCES = ("teacher_accuracy", "teacher_mean_iou", "unpruned_score")


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
    parts = [f"{name} {_spread(report.arms[name])}" for name in arms]
    notes = [first.metric.replace("_", " "), f"{report.seeds} seeds"]
    if first.cpu_seconds is not None:
        notes.append(f"{first.cpu_seconds:.0f} CPU s")
    return f"{', '.join(parts)}{_reference(first)} ({', '.join(notes)})"


def _spread(arm: ArmFigures) -> str:
    if arm.mean is None:
        return "failed"
    return f"{arm.mean:.1f}" if arm.sd is None else f"{arm.mean:.1f} ± {arm.sd:.1f}"


def _reference(arm: ArmFigures) -> str:
    for name in _REFERENCES:
        values = [value for value in arm.metrics.get(name, []) if value is not None]
        if values:
            return f"; {name.split('_')[0]} {sum(values) / len(values):.1f}"
    return ""
