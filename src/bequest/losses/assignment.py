"""Losses of soft assignments against hard ones, after Liu et al., GLAN, Pattern Recognition 2024.

Each gives one number a problem, `(batch,)`: problems of all sizes weigh the same.

Shapes:
    soft: `(batch, rows, columns)`, 0 in the padding.
    target: The same shape, bool: which pairs are matched.
"""

from __future__ import annotations

from torch import Tensor
from torch.linalg import vector_norm

from bequest.ops.assignment import PairBatch


def focal_assignment_loss(
    soft: Tensor, target: Tensor, kept: Tensor, neighbours: Tensor, *, focus: float = 2.0
) -> Tensor:
    """Cross-entropy over the kept pairs, in which easy pairs count little.

    With `k` kept pairs a row, `w1 = (k - 1) / k` and `w0 = 1 / k`:

        -mean( w1 (1 - p)^2 y log(p + 1e-8) + w0 p^2 (1 - y) log(1 - p + 1e-8) )

    Args:
        soft: p.
        target: y.
        kept: Over which pairs, bool; at least one a problem.
        neighbours: k of each problem, `(batch,)`.
        focus: The power 2.
    """
    # A rounded sum may put p a little above 1, where the logarithm would be of a negative number.
    p, y = soft.clamp(0, 1), target.to(soft.dtype)
    w0 = (1 / neighbours.to(soft.dtype))[:, None, None]
    matched = (1 - w0) * (1 - p).pow(focus) * y * (p + 1e-8).log()
    parted = w0 * p.pow(focus) * (1 - y) * (1 - p + 1e-8).log()
    return -((matched + parted) * kept).sum((1, 2)) / kept.sum((1, 2))


def sum_penalty(soft: Tensor, target: Tensor, problems: PairBatch) -> Tensor:
    """`log(1 + mean squared difference of the sums)`, of columns plus of rows."""
    difference = soft - target.to(soft.dtype)
    of_rows = difference.sum(2).square().sum(1) / problems.rows
    of_columns = difference.sum(1).square().sum(1) / problems.columns
    return of_rows.log1p() + of_columns.log1p()


def sparsity_penalty(soft: Tensor, target: Tensor, problems: PairBatch) -> Tensor:
    """Mean squared difference of the Euclidean norms, of rows plus of columns: 1 for a one-hot."""
    y = target.to(soft.dtype)
    of_rows = (vector_norm(soft, dim=2) - vector_norm(y, dim=2)).square().sum(1) / problems.rows
    of_columns = (vector_norm(soft, dim=1) - vector_norm(y, dim=1)).square().sum(1)
    return of_rows + of_columns / problems.columns


def cost_gap_loss(soft: Tensor, target: Tensor, costs: Tensor) -> Tensor:
    """`(sum(C * S) - C_opt)^2`: what the soft assignment costs beyond the target."""
    return ((soft - target.to(soft.dtype)) * costs).sum((1, 2)).square()
