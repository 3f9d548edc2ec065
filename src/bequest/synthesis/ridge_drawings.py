"""What a person wants to see of a convex ridge regularizer: its filters with their functions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bequest.nn.convex_ridge import ConvexRidgeRegularizer
from bequest.run.pictures import drawn


@torch.no_grad()
def drawn_ridges(regularizer: ConvexRidgeRegularizer, *, limit: int = 32) -> Tensor:
    """Each filter with its activation (line) and potential (dashes), `(1, 3, height, width)`.

    Args:
        regularizer: Trained.
        limit: At most so many filters, those with the most energy times bends first.
    """
    from matplotlib.figure import Figure

    responses = regularizer.impulse_responses()
    worth = responses.square().flatten(1).sum(1) * regularizer.activation.bends()
    order = worth.argsort(descending=True)[:limit].cpu()
    count = len(regularizer.kernels[-1])
    reach = 1.2 * float(getattr(regularizer.activation, "knot_range", 0.1))
    x = torch.linspace(-reach, reach, 201, device=responses.device).expand(1, count, -1)
    slopes, areas = regularizer.activation(x)[0].cpu(), regularizer.activation.integral(x)[0].cpu()
    columns = min(8, len(order))
    rows = math.ceil(len(order) / columns)
    figure = Figure(figsize=(1.3 * columns, 2.4 * rows), layout="constrained")
    axes = figure.subplots(2 * rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for place, index in enumerate(order.tolist()):
        row, column = divmod(place, columns)
        largest = float(responses[index].abs().max()) or 1.0
        axes[2 * row, column].imshow(
            responses[index, 0].cpu().numpy(), cmap="gray", vmin=-largest, vmax=largest
        )
        below = axes[2 * row + 1, column]
        for curve, style in ((slopes[index], "-"), (areas[index], "--")):
            below.plot(x[0, 0].cpu().numpy(), (curve / (curve.abs().max() + 1e-12)).numpy(), style)
    return drawn(figure)


def drawn_course(costs: Tensor) -> Tensor:
    """The cost above its last value by step, on a logarithmic axis, as a picture.

    Args:
        costs: `(steps,)`, of one image.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 2.8), layout="constrained")
    axis = figure.subplots()
    above = (costs - costs[-1]).cpu()
    axis.semilogy(above[above > 0].numpy())
    axis.set_xlabel("step")
    axis.set_ylabel("cost above the lowest")
    return drawn(figure)
