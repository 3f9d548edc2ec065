"""What people who decide expect to see: the return along a shift, and a map of values."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from bequest.nn.tabular import QTable
from bequest.run import Run
from bequest.run.pictures import drawn

_ARROWS = "←↓→↑"
"""FrozenLake's order of actions."""


def picture_curves(run: Run, name: str, curves: Mapping[str, list[float]]) -> None:
    """The first column is the axis, every other a line."""
    figure = Figure(figsize=(6, 3.6), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axis, *lines = curves
    for line, style in zip(lines, ("-o", "--", ":")):
        axes.plot(curves[axis], curves[line], style, label=line)
    axes.set_xlabel(axis)
    axes.set_ylabel("worst return, % of the best reward")
    axes.legend()
    _keep(run, name, figure)


def picture_values(run: Run, name: str, table: QTable, grid: tuple[int, int]) -> None:
    """Values of the first model as colours, its greedy actions as arrows; an end is left out."""
    rows, columns = grid
    values = table.values()[0, : rows * columns].view(rows, columns).cpu().numpy()
    actions = table.greedy()[0, : rows * columns].view(rows, columns).tolist()
    figure = Figure(figsize=(0.6 * columns + 1.5, 0.6 * rows + 0.8), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(values, cmap="viridis")
    figure.colorbar(shown, label="value")
    for row in range(rows):
        for column in range(columns):
            axes.text(
                column, row, _ARROWS[actions[row][column]], ha="center", va="center", color="white"
            )
    axes.set_xticks([])
    axes.set_yticks([])
    _keep(run, name, figure)


def _keep(run: Run, name: str, figure: Figure) -> None:
    if run.folder is not None:
        run.picture(name, drawn(figure))
