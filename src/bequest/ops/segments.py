"""Softmax, sums, means and extremes of rows that share an index, in any order, batched."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def segment_softmax(logits: Tensor, index: Tensor, *, count: int) -> Tensor:
    """Softmax of the logits of equal index.

    Args:
        logits: `(rows,)`; -inf takes a row out. A segment of which all are out gives 0, not NaN.
        index: The segment of each row `(rows,)`, in `0 .. count - 1`.
        count: Segments there are.

    Returns:
        `(rows,)`, in [0, 1].
    """
    largest = logits.new_full((count,), -torch.inf)
    largest = largest.scatter_reduce(0, index, logits.detach(), "amax")
    largest = largest.where(largest.isfinite(), 0.0)
    exponentials = (logits - largest[index]).exp()
    sums = exponentials.new_zeros(count).index_add(0, index, exponentials)
    return exponentials / sums.where(sums > 0, 1.0)[index]


def segment_sum(rows: Tensor, index: Tensor, *, count: int) -> Tensor:
    """The sum of the rows `(rows, dim)` of equal index, `(count, dim)`; 0 for an empty segment."""
    return rows.new_zeros(count, rows.shape[1]).index_add(0, index, rows)


def segment_mean(values: Tensor, index: Tensor, *, count: int) -> Tensor:
    """The mean of the rows `(rows, dim)` of equal index, `(count, dim)`; 0 for an empty segment."""
    sizes = torch.bincount(index, minlength=count).clamp_min(1)
    return segment_sum(values, index, count=count) / sizes[:, None]


def segment_extreme(
    values: Tensor, index: Tensor, *, count: int, kind: Literal["amax", "amin"]
) -> Tensor:
    """The largest or smallest value by segment and column, `(count, dim)`; 0 for an empty one."""
    index = index[:, None].expand(values.shape)
    start = values.new_zeros(count, values.shape[1])
    return start.scatter_reduce(0, index, values, kind, include_self=False)
