"""Assignment problems as one sparse bipartite graph: the cheapest pairs, means over segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from bequest.ops.assignment import PairBatch

Sides = Literal["rows", "both"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """The pairs of a batch that are kept, in the order of problem, row and column.

    Shapes:
        kept: `(batch, rows, columns)` bool.
        problem: `(pairs,)` int64, ascending.
        row: `(pairs,)` int64, the node of the pair's row.
        column: `(pairs,)` int64, the node of its column.
        node_problem: `(nodes,)` int64, ascending: a problem's rows, then its columns.
    """

    kept: Tensor
    problem: Tensor
    row: Tensor
    column: Tensor
    node_problem: Tensor


def neighbour_counts(problems: PairBatch, *, base: int = 10, step: int = 2) -> Tensor:
    """K of each problem, `(batch,)`: `base + step * floor(n / 10)`, n the longer side."""
    longer = torch.maximum(problems.rows, problems.columns)
    return base + step * (longer // 10)


def cheapest_pairs(problems: PairBatch, counts: Tensor, *, sides: Sides = "rows") -> Pairs:
    """Keeps for each row its cheapest columns, and with `both` for each column its cheapest rows.

    Args:
        problems: Costs.
        counts: How many to keep, `(batch,)`, 1 or more; at most all.
        sides: With `rows` alone a column may be left without a pair.
    """
    inside = problems.mask
    costs = problems.costs.detach().where(inside, problems.values.new_tensor(torch.inf))
    kept = _smallest(costs, counts)
    if sides == "both":
        kept |= _smallest(costs.transpose(1, 2), counts).transpose(1, 2)
    return pairs_of(kept & inside, problems)


def pairs_of(kept: Tensor, problems: PairBatch) -> Pairs:
    """The pairs at which `kept` `(batch, rows, columns)` is true; none of them in the padding."""
    problem, row, column = kept.nonzero().unbind(1)
    sizes = problems.rows + problems.columns
    first = sizes.cumsum(0) - sizes
    return Pairs(
        kept=kept,
        problem=problem,
        row=first[problem] + row,
        column=(first + problems.rows)[problem] + column,
        node_problem=torch.repeat_interleave(sizes),
    )


def _smallest(costs: Tensor, counts: Tensor) -> Tensor:
    """True at the `counts` smallest entries of each row of a problem."""
    most = min(int(counts.max()), costs.shape[2])
    places = costs.topk(most, dim=2, largest=False, sorted=True).indices
    rank = torch.arange(most, device=costs.device)
    chosen = (rank < counts[:, None])[:, None].expand(places.shape)
    return torch.zeros_like(costs, dtype=torch.bool).scatter_(2, places, chosen)
