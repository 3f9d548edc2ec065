"""Assignment problems of different sizes in one batch, and hard one-to-one assignments of them.

An assignment is `(batch, rows)` int64: the column of each row, -1 where a row has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.extras import load_extra
from bequest.ops.sinkhorn import pair_mask

ExactSolver = Literal["scipy", "lapx"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PairBatch:
    """Bipartite problems, padded to the largest: a cost or several features for each pair.

    Shapes:
        values: `(batch, rows, columns)` costs, smaller is better, or
            `(batch, rows, columns, features)`, floating; 0 in the padding.
        rows: `(batch,)` int64, how many rows are real; 1 or more.
        columns: `(batch,)` int64, how many columns are real; 1 or more.

    Raises:
        InputError: For other shapes, an empty problem, NaN or infinite values.
    """

    values: Tensor
    rows: Tensor
    columns: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.values.shape)
        if self.values.ndim not in (3, 4) or not self.values.is_floating_point() or not shape[0]:
            raise InputError(
                "values must be floating, of (batch, rows, columns) or (batch, rows, columns, "
                f"features), with at least one problem, not {self.values.dtype} of {shape}."
            )
        for name, sizes, limit in (("rows", self.rows, 1), ("columns", self.columns, 2)):
            if sizes.shape != shape[:1] or sizes.dtype != torch.int64:
                raise InputError(f"{name} must be int64 of ({shape[0]},), one size a problem.")
            if sizes.min() < 1 or sizes.max() > shape[limit]:
                raise InputError(
                    f"{name} are {int(sizes.min())} to {int(sizes.max())}; each problem needs at "
                    f"least 1 and at most {shape[limit]}. Leave empty problems out."
                )
        if not self.values.isfinite().all():
            raise InputError(
                "values hold NaN or infinity. Give forbidden pairs a finite, large cost."
            )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def mask(self) -> Tensor:
        """True at real pairs, `(batch, rows, columns)`."""
        return pair_mask(self.rows, self.columns, self.values.shape[1], self.values.shape[2])

    @property
    def costs(self) -> Tensor:
        """The values, or the first of several features, which is a distance by convention."""
        return self.values if self.values.ndim == 3 else self.values[..., 0]

    def to(self, device: torch.device) -> PairBatch:
        """The same problems on that device."""
        return PairBatch(
            values=self.values.to(device),
            rows=self.rows.to(device),
            columns=self.columns.to(device),
        )

    def take(self, places: Tensor) -> PairBatch:
        """The problems at `places` `(number,)`, padded to the largest of these."""
        rows, columns = self.rows[places], self.columns[places]
        values = self.values[places, : int(rows.max()), : int(columns.max())]
        return PairBatch(values=values, rows=rows, columns=columns)


def with_unmatched(problems: PairBatch, cost: float) -> tuple[PairBatch, Tensor]:
    """Each problem with a last row and a last column more: to stay unmatched, at that cost.

    Returns:
        The larger problems, and which of their pairs are of the new row or column.
    """
    costs = F.pad(problems.costs, (0, 1, 0, 1))
    rows, columns = problems.rows + 1, problems.columns + 1
    inside = pair_mask(rows, columns, costs.shape[1], costs.shape[2])
    border = inside & ~F.pad(problems.mask, (0, 1, 0, 1))
    larger = costs.masked_fill(border, cost)
    return PairBatch(values=larger, rows=rows, columns=columns), border


def pad_problems(matrices: Sequence[Tensor]) -> PairBatch:
    """Costs `(rows, columns)` or features `(rows, columns, features)` of any sizes as one batch.

    Raises:
        InputError: For no problem, one without rows or columns, or what `PairBatch` refuses.
    """
    if not matrices:
        raise InputError("There is no problem to assign.")
    dimensions = {tuple(m.shape[2:]) for m in matrices} | {(m.ndim,) for m in matrices}
    if len(dimensions) != 2 or matrices[0].ndim not in (2, 3):
        raise InputError(
            "Problems must all be (rows, columns), or all (rows, columns, features) with equally "
            f"many features, not {sorted({tuple(m.shape) for m in matrices})[:5]}."
        )
    first = matrices[0]
    sizes = torch.tensor([m.shape[:2] for m in matrices], device=first.device)
    height, width = sizes.amax(0).tolist()
    values = first.new_zeros((len(matrices), height, width, *first.shape[2:]))
    for place, matrix in enumerate(matrices):
        values[place, : matrix.shape[0], : matrix.shape[1]] = matrix
    return PairBatch(values=values, rows=sizes[:, 0].clone(), columns=sizes[:, 1].clone())


def exact_assignment(
    problems: PairBatch, *, solver: ExactSolver = "scipy", threads: int = 1
) -> Tensor:
    """The assignments of least cost, on the CPU, by a library.

    Args:
        problems: Costs `(batch, rows, columns)`; the shorter side of each is matched whole.
        solver: `scipy` (modified Jonker-Volgenant), or `lapx` (LAPJV; problems of equal size are
            solved in parallel; in the extra `matching`).
        threads: Of lapx.

    Returns:
        `(batch, rows)` on the device of the problems.

    Raises:
        InputError: Where lapx is asked for and missing.
    """
    values = problems.costs.detach()
    costs = values.to(torch.promote_types(values.dtype, torch.float32)).cpu().numpy()
    sizes = torch.stack([problems.rows, problems.columns], 1).cpu().numpy()
    found = np.full(costs.shape[:2], -1, dtype=np.int64)
    if solver == "scipy":
        for place, (height, width) in enumerate(sizes):
            row, column = linear_sum_assignment(costs[place, :height, :width])
            found[place, row] = column
    else:
        lap = load_extra("lap", extra="matching")
        for height, width in np.unique(sizes, axis=0).tolist():
            places = np.flatnonzero((sizes == (height, width)).all(1))
            same = np.ascontiguousarray(costs[places, :height, :width])
            rows, columns = lap.lapjvx_batch(
                same, extend_cost=True, return_cost=False, n_threads=threads
            )
            for place, row, column in zip(places.tolist(), rows, columns):
                found[place, row] = column
    return torch.from_numpy(found).to(problems.values.device)


def greedy_assignment(scores: Tensor, allowed: Tensor) -> Tensor:
    """Takes the pair of the largest score, strikes its row and its column, and so on.

    A pair that is the best of its row and of its column is taken sooner or later, whatever else is
    taken: so all of them are taken at once, in a few rounds for any size. The outcome is that of
    one pair after the other; equal scores go by place, row first.

    Args:
        scores: `(batch, rows, columns)`, finite, larger is better.
        allowed: Which pairs may be taken, of the same shape.

    Returns:
        `(batch, rows)`.
    """
    batch, height, width = scores.shape
    found = torch.full((batch, height), -1, dtype=torch.int64, device=scores.device)
    row = torch.arange(height, device=scores.device)
    column = torch.arange(width, device=scores.device)
    allowed = allowed.clone()
    while allowed.any():
        left = scores.where(allowed, scores.new_tensor(-torch.inf))
        best_column, best_row = left.argmax(2), left.argmax(1)
        taken = (best_row.gather(1, best_column) == row) & allowed.any(2)
        found = best_column.where(taken, found)
        struck = ((best_column[:, :, None] == column) & taken[:, :, None]).any(1)
        allowed &= ~(taken[:, :, None] | struck[:, None])
    return found


def complete_assignment(found: Tensor, problems: PairBatch) -> Tensor:
    """Matches the rows that have no column to free columns, greedily by lowest cost."""
    pairs = assignment_matrix(found, problems.values.shape[2])
    free = problems.mask & ~pairs.any(2)[:, :, None] & ~pairs.any(1)[:, None]
    return torch.maximum(found, greedy_assignment(-problems.costs.detach(), free))


def assignment_matrix(found: Tensor, columns: int) -> Tensor:
    """An assignment `(batch, rows)` as bool `(batch, rows, columns)`."""
    return found[:, :, None] == torch.arange(columns, device=found.device)


def assignment_cost(found: Tensor, costs: Tensor) -> Tensor:
    """The summed cost of each problem's pairs, `(batch,)`."""
    chosen = costs.gather(2, found.clamp_min(0)[:, :, None])[:, :, 0]
    return (chosen * (found >= 0)).sum(1)


def check_assignments(found: Tensor, problems: PairBatch, *, partial: bool) -> None:
    """Refuses what is no one-to-one assignment of these problems.

    Args:
        found: `(batch, rows)` int64, -1 where a row has no column and in the padding.
        problems: Which problems it should be of.
        partial: Whether rows and columns of the shorter side may stay unmatched.

    Raises:
        InputError: For another shape, a column that does not exist or is taken twice, or an
            unmatched row or column that has to be matched.
    """
    shape = tuple(problems.values.shape[:2])
    if tuple(found.shape) != shape or found.dtype != torch.int64:
        raise InputError(
            f"assignments must be int64 of {shape} (batch, rows), not {found.dtype} of "
            f"{tuple(found.shape)}."
        )
    matched = found >= 0
    real = torch.arange(shape[1], device=found.device) < problems.rows[:, None]
    if (found < -1).any() or (found >= problems.columns[:, None]).any() or (matched & ~real).any():
        raise InputError("assignments name a row or a column that does not exist.")
    if (assignment_matrix(found, problems.values.shape[2]).sum(1) > 1).any():
        raise InputError("assignments take a column for two rows.")
    wanted = torch.minimum(problems.rows, problems.columns)
    if not partial and (matched.sum(1) != wanted).any():
        raise InputError(
            "assignments leave rows and columns unmatched that could be matched. If that is meant, "
            "say partial=True."
        )
