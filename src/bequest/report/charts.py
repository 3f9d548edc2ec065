"""Charts as SVG text to be put into a page: matplotlib draws, the page's style sheet colours.

matplotlib knows no style sheets, so each role has a stand-in colour here, which becomes a CSS
variable in the text; light and dark are then the page's business, and so is the font. Figures are
made without pyplot, so that nothing global is touched.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from bequest.report.run_folder import Series

SERIES = ("#0000a1", "#0000a2", "#0000a3", "#0000a4", "#0000a5", "#0000a6")
"""Stand-ins for the colours of series, in order."""
INK, SOFT, LINE = "#0000b1", "#0000b2", "#0000b3"
VERDICTS = {"holds": "#0000c1", "fails": "#0000c2", "undecided": "#0000c3"}

_VARIABLES = {
    **{colour: f"var(--series-{index})" for index, colour in enumerate(SERIES, start=1)},
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    **{colour: f"var(--{verdict})" for verdict, colour in VERDICTS.items()},
}
_FONT = 10
_INCHES = 1 / 72  # matplotlib's SVG counts 72 units an inch


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing with its caption, and what it shows in words."""

    title: str
    svg: Markup
    text: str
    keys: Sequence[str] = ()
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A row of a forest plot: an interval, its middle, the mark to pass, and single values."""

    name: str
    verdict: str
    by: float
    middle: float | None
    ends: tuple[float, float] | None
    values: Sequence[float]


def curves(series: Mapping[str, Series], *, bounded: bool = False) -> str:
    """Lines over the steps of a run; `bounded` holds the axis to [0, 1]."""
    axes = _axes(300, 165)
    for (_, points), colour in zip(series.items(), _cycle(len(series))):
        steps, values = zip(*points)
        marker = "o" if len(points) < 30 else ""
        axes.plot(steps, values, color=colour, linewidth=1.6, marker=marker, markersize=3)
    if bounded:
        axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("step", color=SOFT, fontsize=_FONT)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    return _svg(axes, f"curves {sorted(series)}")


def histogram(edges: Sequence[float], counts: Sequence[float], *, name: str) -> str:
    """Bars from each of `edges` to the next, as high as `counts`."""
    axes = _axes(300, 165)
    width = edges[1] - edges[0] if len(edges) > 1 else 1.0
    axes.bar(edges, counts, width=0.9 * width, align="edge", color=SERIES[0])
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return _svg(axes, f"histogram {name}")


def forest(rows: Sequence[Interval], *, unit: str) -> str:
    """Intervals below each other, with zero, the mark to pass, and the differences by seed."""
    axes = _axes(420, 50 + 34 * len(rows))
    axes.axvline(0.0, color=SOFT, linewidth=0.9)
    for place, row in enumerate(rows):
        colour = VERDICTS[row.verdict]
        axes.plot(
            row.values, [place + 0.24] * len(row.values), "o", color=SOFT, alpha=0.45, markersize=3
        )
        if row.ends is not None:
            axes.plot(row.ends, [place, place], color=colour, linewidth=3.2, solid_capstyle="round")
        if row.middle is not None:
            axes.plot([row.middle], [place], "o", color=colour, markersize=7)
        axes.plot([row.by, row.by], [place - 0.36, place + 0.36], color=INK, linewidth=1.4, ls=":")
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_xlabel(unit, color=SOFT, fontsize=_FONT)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    return _svg(axes, f"forest {unit} {[row.name for row in rows]}")


def strip(arms: Mapping[str, Sequence[float | None]], *, unit: str) -> str:
    """A row of dots for each arm, one a seed; lines join the same seed, bars show the means."""
    axes = _axes(420, 50 + 30 * len(arms))
    places = range(len(arms))
    for by_seed in zip(*arms.values()):
        found = [(v, place) for v, place in zip(by_seed, places) if v is not None]
        if found:
            axes.plot(*zip(*found), color=SOFT, alpha=0.35, linewidth=0.8)
    for place, values in zip(places, arms.values()):
        ended = [value for value in values if value is not None]
        axes.plot(ended, [place] * len(ended), "o", color=SERIES[0], alpha=0.75, markersize=5)
        if ended:
            mean = sum(ended) / len(ended)
            axes.plot([mean, mean], [place - 0.3, place + 0.3], color=SERIES[1], linewidth=2.4)
    axes.set_ylim(len(arms) - 0.45, -0.55)
    axes.set_yticks(places, list(arms))
    axes.set_xlabel(unit, color=SOFT, fontsize=_FONT)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    return _svg(axes, f"strip {unit} {list(arms)}")


def _axes(width: float, height: float) -> Axes:
    figure = Figure(figsize=(width * _INCHES, height * _INCHES), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=_FONT, length=0)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _cycle(count: int) -> list[str]:
    return [SERIES[index % len(SERIES)] for index in range(count)]


def _svg(axes: Axes, name: str) -> str:
    """The figure as an `svg` element for a page: no names of its own, no colours, no links out."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    # Names of markers and clips must differ between the charts of a page.
    salt = hashlib.sha256(name.encode()).hexdigest()[:12]
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*; ", "", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", text, count=1)
    text = re.sub(r'<svg ([^>]*?)height="[^"]*"', r'<svg aria-hidden="true" \1', text, count=1)
    return re.sub(r"#0000[abc]\d", lambda found: _VARIABLES[found[0]], text)
