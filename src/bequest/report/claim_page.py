"""The report of claims: verdicts, intervals and arms as one HTML file."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

import bequest
from bequest import catalog
from bequest.claims.files import write_atomically
from bequest.claims.results import (
    MARKS,
    ArmFigures,
    ClaimVerdict,
    Report,
    metric_names,
    read_results,
    results_path,
)
from bequest.errors import InputError
from bequest.report.charts import Chart, Interval, forest, strip
from bequest.report.rendering import number, render, signed, words
from bequest.report.repeat import repeat_claims
from bequest.report.run_folder import nested


def write_claim_report(report: Report, folder: Path | str) -> Path:
    """Writes `<study>-<size>.html` into `folder`, beside where its results go; gives its path."""
    path = results_path(folder, report.study, report.size).with_suffix(".html")
    write_atomically(path, claim_page(report))
    return path


def write_claim_reports(folder: Path | str) -> list[Path]:
    """A page for each result in `folder`; what is no result is passed over."""
    pages = []
    for path in sorted(Path(folder).glob("*.json")):
        try:
            report = read_results(path)
        except InputError:
            continue
        pages.append(write_claim_report(report, folder))
    return pages


def claim_page(report: Report) -> str:
    """The page's HTML."""
    entry = catalog.methods().get(report.study)
    name = entry.name if entry is not None else report.study
    heading = f"{name}: what it claims" if report.claims else f"{name}: arms compared"
    metrics = metric_names(report)
    counts = Counter(claim.verdict for claim in report.claims)
    compared = {arm: _model(arm, report.arms) for arm in report.arms}
    return render(
        "claim.html",
        version=bequest.__version__,
        written=datetime.datetime.now(datetime.UTC).date().isoformat(),
        title=heading,
        heading=heading,
        subtitle=f"size {report.size} · {report.seeds} seeds · {report.created} · all arms at "
        "equal budget, paired by seed",
        counts={verdict: counts[verdict] for verdict in MARKS if counts[verdict]},
        marks=MARKS,
        excluded=_excluded(report),
        claims=report.claims,
        forests=[_forest(metric, report.claims) for metric in metrics if report.claims],
        strips=[_strip(metric, report) for metric in metrics],
        metric=metrics[0] if metrics else "accuracy",
        arms=report.arms,
        sections={
            arm: [{"name": name, **costs} for name, costs in figures.sections.items()]
            for arm, figures in report.arms.items()
        },
        compared=compared,
        differing={arm: _differing(arm, compared[arm], report.arms) for arm in report.arms},
        seeds=report.seeds,
        repeat=repeat_claims(report),
        runs=report.runs,
        cached=report.cached,
        code=report.code,
        environment=nested(report.environment),
    )


def _excluded(report: Report) -> list[str]:
    lines = [line for claim in report.claims for line in claim.excluded]
    lines += [
        f"{name}, seed {seed}: {reason}"
        for name, arm in report.arms.items()
        for seed, reason in arm.failures.items()
    ]
    return list(dict.fromkeys(lines))


def _forest(metric: str, claims: Sequence[ClaimVerdict]) -> Chart:
    rows, told = [], []
    for place, claim in enumerate(claims, start=1):
        if claim.metric != metric:
            continue
        rows.append(
            Interval(
                name=str(place),
                verdict=claim.verdict,
                by=claim.by,
                middle=claim.difference,
                ends=claim.interval,
                values=[value for value in claim.differences if value is not None],
            )
        )
        told.append(f"{place}, {claim.verdict}, {signed(claim.difference)}")
    text = f"Differences in {words(metric)} by claim: {'; '.join(told)}."
    svg = Markup(forest(rows, unit=words(metric)))
    return Chart(title=metric, svg=svg, text=text)


def _strip(metric: str, report: Report) -> Chart:
    values = {
        name: arm.metrics.get(metric, arm.values if arm.metric == metric else [])
        for name, arm in report.arms.items()
    }
    values = {name: found for name, found in values.items() if found}
    told = [
        f"{name} {', '.join(number(value) for value in found)}" for name, found in values.items()
    ]
    text = f"{words(metric)} of each run, arm by arm: {'; '.join(told)}."
    return Chart(title=metric, svg=Markup(strip(values, unit=words(metric))), text=text)


def _model(name: str, arms: Mapping[str, ArmFigures]) -> str:
    """The first arm of the same class, which others differ from in some fields; none for it."""
    kind = arms[name].config.get("class")
    first = next(arm for arm, figures in arms.items() if figures.config.get("class") == kind)
    return "" if first == name else first


def _differing(name: str, model: str, arms: Mapping[str, ArmFigures]) -> list[str]:
    if not model:
        return []
    own, other = (_fields(arms[arm]) for arm in (name, model))
    return [field for field, value in own.items() if other.get(field) != value]


def _fields(arm: ArmFigures) -> dict[str, Any]:
    fields: dict[str, Any] = arm.config.get("fields", {})
    return fields
