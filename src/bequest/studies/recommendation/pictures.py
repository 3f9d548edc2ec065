"""The controllability curve: what variety costs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from bequest.run.pictures import drawn


def controllability_chart(
    diversity: Sequence[float], recall: Sequence[float], weights: Sequence[float], *, number: int
) -> Tensor:
    """Recall against diversity as a line, each point marked with its lambda.

    Args:
        diversity: Share of pairs of different categories, in percent.
        recall: In percent.
        weights: The lambda of each point.
        number: Length of the lists.

    Returns:
        A picture `(1, 3, height, width)` in [0, 1].
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(diversity, recall, marker="o", markersize=4, color="#1f6f78")
    for place, (x, y, weight) in enumerate(zip(diversity, recall, weights, strict=True)):
        above = 8 if place % 2 == 0 else -15  # neighbours may be close
        axes.annotate(
            f"λ = {weight:g}", (x, y), xytext=(-8, above), textcoords="offset points", size=8
        )
    axes.set_xlabel(f"diversity@{number}, % of pairs of different categories")
    axes.set_ylabel(f"recall@{number}, %")
    axes.set_ylim(0, 1.15 * max(max(recall), 1e-6))
    axes.margins(x=0.12)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn(figure)
