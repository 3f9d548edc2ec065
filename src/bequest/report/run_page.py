"""The report of a run: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import datetime
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

import bequest
from bequest import catalog
from bequest.claims.files import write_atomically
from bequest.errors import InputError
from bequest.report.charts import Chart, curves, histogram
from bequest.report.rendering import duration, memory, number, operations, render, words
from bequest.report.repeat import repeat_run
from bequest.report.run_folder import RunFolder, Series, nested, read_run

_PERCENTAGES = (
    *("mean_iou", "accuracy", "agreement", "mrr", "hits_at_10"),
    *("recall_50", "ndcg_50", "hit_rate_50", "diversity_50"),
    *("auc", "parity_gap", "opportunity_gap", "positive_rate", "majority"),
    *("forgetting", "backward_transfer", "forward_transfer"),
)
_SHARES = ("class_entropy", "confidence")
_HINTS = {
    "effective_size": "of the draws, in samples",
    "bn": "the teacher's statistics",
    "confidence": "of the teacher, by sample",
    "draws": "of each sample",
}
_KINDS = ("seconds", "cpu_seconds", "flops")


def write_report(folder: Path | str) -> Path:
    """Writes the report of the run in `folder`, whatever state the run is in.

    A folder of claim results gets its pages instead (see `write_claim_report`).

    Args:
        folder: Of a run, finished or not; or where `bequest claim --folder` wrote.

    Returns:
        `report.html` in it; of claims, the page, or the folder where there are several.

    Raises:
        InputError: When the folder holds neither.
    """
    folder = Path(folder)
    try:
        run = read_run(folder)
    except InputError:
        from bequest.report.claim_page import write_claim_reports

        pages = write_claim_reports(folder)
        if not pages:
            raise
        return pages[0] if len(pages) == 1 else folder
    path = folder / "report.html"
    write_atomically(path, run_page(run))
    return path


def run_page(run: RunFolder) -> str:
    """The report's HTML."""
    config = run.config
    name = _method_name(str(config.get("method", "")))
    # What says how good the network is comes first.
    figures = dict(sorted(run.figures().items(), key=lambda item: _rank(item[0])))
    sections = _sections(run.result)
    steps = [series[-1][0] for series in (*run.terms.values(), *run.records.values())]
    fields = config.get("fields")
    return render(
        "run.html",
        version=bequest.__version__,
        written=datetime.datetime.now(datetime.UTC).date().isoformat(),
        title=f"{name}: bequest {config.get('command', 'run')}",
        command=config.get("command", "run"),
        heading=_heading(name, config),
        subtitle=_subtitle(config, run.environment),
        finished=run.is_finished,
        problems=run.problems,
        last_step=max(steps, default=0),
        resume=_resume(run),
        figures=figures,
        percentages=[n for n in figures if n.endswith(_PERCENTAGES)],
        curves=_record_charts(run.records),
        terms=[_chart({n: series}) for n, series in run.terms.items()],
        pictures={n: _data_address(content) for n, content in run.pictures.items()},
        histograms=[_histogram(n, t) for n, t in run.tables.items() if _is_histogram(t)],
        tables={n: t for n, t in run.tables.items() if not _is_histogram(t)},
        sections=sections,
        totals=_totals(sections, run),
        repeat=repeat_run(config, run.environment),
        settings=nested(
            {k: v for k, v in config.items() if k not in ("resolved", "fields") and v is not None}
        ),
        hyperparameters=_mapping(config.get("resolved")),
        changed=list(fields) if isinstance(fields, Mapping) else [],
        environment=nested(run.environment),
    )


def _rank(name: str) -> int:
    return next((i for i, ending in enumerate(_PERCENTAGES) if name.endswith(ending)), 9)


def _method_name(id: str) -> str:
    entry = catalog.methods().get(id)
    return entry.name if entry is not None else id or "A run"


def _heading(name: str, config: Mapping[str, Any]) -> str:
    if config.get("teacher") and config.get("student"):
        return f"{Path(str(config['teacher'])).name} → {Path(str(config['student'])).name}"
    arm = config.get("arm")
    return f"{name}, arm {arm}" if arm and arm != config.get("method") else name


def _subtitle(config: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    parts = []
    if config.get("teacher"):
        parts.append(f"with {_method_name(str(config.get('method', '')))}")
    parts += [f"{key} {config[key]}" for key in ("size", "seed") if config.get(key) is not None]
    parts += [str(environment[key]) for key in ("device_name", "precision") if key in environment]
    return " · ".join(parts)


def _resume(run: RunFolder) -> str:
    if not run.config or (run.config.get("command") == "distill" and "teacher" not in run.config):
        return ""
    return f"bequest resume {shlex.quote(str(run.path))}"


def _record_charts(records: Mapping[str, Series]) -> list[Chart]:
    """Figures of one kind share a chart: percentages, shares; every other has its own."""
    percentages = {n: s for n, s in records.items() if n.endswith(_PERCENTAGES)}
    shares = {n: s for n, s in records.items() if n in _SHARES}
    others = [n for n in records if n not in percentages and n not in shares]
    charts = []
    if percentages:
        charts.append(_chart(percentages, unit="%"))
    if shares:
        charts.append(_chart(shares, bounded=True))
    return charts + [_chart({n: records[n]}) for n in others]


def _chart(series: Mapping[str, Series], *, unit: str = "", bounded: bool = False) -> Chart:
    told = [
        f"{words(name)} goes from {number(points[0][1])} to {number(points[-1][1])}{unit}, "
        f"lowest {number(min(v for _, v in points))}, highest {number(max(v for _, v in points))}"
        for name, points in series.items()
    ]
    name = next(iter(series))
    return Chart(
        title=words(name) + (f", {unit}" if unit else ""),
        svg=Markup(curves(series, bounded=bounded)),
        text=f"Curve over the steps of the run: {'; '.join(told)}.",
        keys=list(series),
        hint=_HINTS.get(name, ""),
    )


def _is_histogram(table: Mapping[str, list[float]]) -> bool:
    return set(table) == {"from", "count"} and len(table["from"]) > 1


def _histogram(name: str, table: Mapping[str, list[float]]) -> Chart:
    edges, counts = table["from"], table["count"]
    peak = max(range(len(counts)), key=counts.__getitem__)
    return Chart(
        title=words(name),
        svg=Markup(histogram(edges, counts, name=words(name))),
        text=f"Histogram of {words(name)}: {number(sum(counts))} in all, most of them, "
        f"{number(counts[peak])}, from {number(edges[peak])}.",
        hint=_HINTS.get(name, ""),
    )


def _sections(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = {kind: _mapping(result.get(kind)) for kind in _KINDS}
    names = dict.fromkeys(name for table in tables.values() for name in table)
    return [
        {"name": name, **{kind: float(tables[kind].get(name, 0.0)) for kind in _KINDS}}
        for name in names
    ]


def _totals(sections: Sequence[Mapping[str, Any]], run: RunFolder) -> dict[str, str]:
    counted = [section for section in sections if section["name"] != "evaluation"]
    sums = {kind: sum(section[kind] for section in counted) for kind in _KINDS}
    totals = {
        "time": duration(sums["seconds"]),
        "CPU time": duration(sums["cpu_seconds"]),
        "arithmetic": operations(sums["flops"]),
    }
    peak = run.result.get("peak_memory_bytes", run.environment.get("peak_memory_bytes"))
    if isinstance(peak, int | float):
        totals["peak memory"] = memory(peak)
    return totals


def _mapping(value: Any) -> dict[str, Any]:
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else {}


def _data_address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
