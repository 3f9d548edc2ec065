"""How good an assignment is: share of right pairs, cost beside the optimum, conflicts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bequest.ops.assignment import PairBatch, assignment_cost


@torch.no_grad()
def assignment_figures(solver: nn.Module, problems: PairBatch, target: Tensor) -> dict[str, float]:
    """Means over problems, in percent, of a solver with `assign` and a soft answer.

    Args:
        solver: Called with `problems` it gives `(batch, rows, columns)`.
        problems: What it takes.
        target: The assignments that it should find, `(batch, rows)`.

    Returns:
        `accuracy`: rows that are assigned as in `target`; of a partial target, rows and their
        staying unmatched too. `feasible`: rows whose largest soft entry is in a column that no
        other row of the problem has its largest in.
    """
    assign = solver.assign
    assert callable(assign)
    found: Tensor = assign(problems)
    real = torch.arange(target.shape[1], device=target.device) < problems.rows[:, None]
    right = ((found == target) & real).sum(1) / problems.rows
    return {
        "accuracy": 100 * right.mean().item(),
        "feasible": 100 * feasible_rows(solver(problems), problems).mean().item(),
    }


def feasible_rows(soft: Tensor, problems: PairBatch) -> Tensor:
    """Share of a problem's rows whose largest entry nobody else claims, `(batch,)` in [0, 1].

    A share below 1 means that reading the soft assignment row by row gives none.
    """
    mask = problems.mask
    largest = soft.masked_fill(~mask, -torch.inf).argmax(2)
    real = mask.any(2)
    claims = torch.zeros_like(soft).scatter_add(2, largest[:, :, None], real[:, :, None].float())
    alone = (claims.sum(1) == 1).gather(1, largest) & real
    return alone.sum(1) / problems.rows


def cost_figures(
    found: Tensor, soft: Tensor, target: Tensor, problems: PairBatch
) -> dict[str, float]:
    """Costs beside the optimum, means over problems, in percent.

    Args:
        found: The assignments to judge, complete, `(batch, rows)`.
        soft: The soft ones, `(batch, rows, columns)`.
        target: The cheapest ones.
        problems: With costs of which no optimum is 0.

    Returns:
        `score`: `100 * optimum / cost`; `gap`: `100 * (cost / optimum - 1)`; `soft_score`:
        `100 * optimum / sum(costs * soft)`.
    """
    costs = problems.costs
    optimum = assignment_cost(target, costs).double()
    reached = assignment_cost(found, costs).double()
    softly = (costs * soft).sum((1, 2)).double()
    return {
        "score": 100 * (optimum / reached).mean().item(),
        "gap": 100 * (reached / optimum - 1).mean().item(),
        "soft_score": 100 * (optimum / softly).mean().item(),
    }
