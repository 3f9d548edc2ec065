"""Solvers of assignment problems as layers: costs in, a soft assignment out, hard on demand.

A solver is called with a `PairBatch` of costs and gives `(batch, rows, columns)`, 0 in the padding;
`assign` gives `(batch, rows)`, the column of each row, -1 for none. A `partial` solver may leave
any row or column unmatched, where a pair costs more than `UNMATCHED`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.assignment_network import PairScorer
from bequest.ops.assignment import (
    PairBatch,
    assignment_cost,
    assignment_matrix,
    complete_assignment,
    exact_assignment,
    greedy_assignment,
    with_unmatched,
)
from bequest.ops.bipartite import Sides, cheapest_pairs, neighbour_counts, pairs_of
from bequest.ops.sinkhorn import gumbel_noise, scale_kernel, scale_to_sums, sinkhorn

UNMATCHED = 0.5
"""The cost, and the score, of staying unmatched."""
_EMPTY = 1e-9

Finish = Literal["greedy", "exact"]


class LearnedSolver(nn.Module):
    """A `PairScorer`, rounds of scaling, and a finisher.

    Args:
        scorer: Scores the pairs that are kept.
        base: Pairs kept of each row ...
        step: ... and more for every ten rows; see `neighbour_counts`.
        complete: Keeps all pairs instead.
        sides: See `cheapest_pairs`.
        iterations: Rounds of rows and columns.
        finish: How `assign` makes a soft assignment hard.
        partial: Whether rows and columns may stay unmatched.
    """

    def __init__(
        self,
        scorer: PairScorer,
        *,
        base: int = 10,
        step: int = 2,
        complete: bool = False,
        sides: Sides = "rows",
        iterations: int = 5,
        finish: Finish = "greedy",
        partial: bool = False,
    ) -> None:
        super().__init__()
        self.scorer = scorer
        self.base = base
        self.step = step
        self.complete = complete
        self.sides: Sides = sides
        self.iterations = iterations
        self.finish = finish
        self.partial = partial

    def neighbours(self, problems: PairBatch) -> Tensor:
        """How many pairs each row keeps, `(batch,)`."""
        if self.complete:
            return problems.columns
        counts = neighbour_counts(problems, base=self.base, step=self.step)
        return torch.minimum(counts, problems.columns)

    def soft_and_kept(self, problems: PairBatch) -> tuple[Tensor, Tensor]:
        """The soft assignment, and which pairs the network saw, both `(batch, rows, columns)`."""
        pairs = cheapest_pairs(problems, self.neighbours(problems), sides=self.sides)
        if self.partial:
            return self._soft_partial(problems, pairs.kept), pairs.kept
        scores = self.scorer(problems, pairs)
        kernel = scores.new_full(pairs.kept.shape, _EMPTY).masked_scatter(pairs.kept, scores)
        sizes = problems.rows, problems.columns
        return scale_kernel(kernel, *sizes, iterations=self.iterations), pairs.kept

    def _soft_partial(self, problems: PairBatch, kept: Tensor) -> Tensor:
        """With a row and a column more, for the unmatched: the network scores them like others.

        It has to see what staying unmatched costs, because standardised channels know costs only
        beside other costs.
        """
        larger, border = with_unmatched(problems, UNMATCHED)
        pairs = pairs_of(F.pad(kept, (0, 1, 0, 1)) | border, larger)
        scores = self.scorer(larger, pairs)
        kernel = scores.new_full(pairs.kept.shape, _EMPTY).masked_scatter(pairs.kept, scores)
        # Real rows and columns sum to 1; the new ones have room for all of the other side.
        of_rows = torch.arange(kernel.shape[1], device=kernel.device)
        of_columns = torch.arange(kernel.shape[2], device=kernel.device)
        rows, columns = problems.rows[:, None], problems.columns[:, None]
        a = (of_rows < rows) + columns * (of_rows == rows)
        b = (of_columns < columns) + rows * (of_columns == columns)
        soft = scale_to_sums(
            kernel, a.to(kernel.dtype), b.to(kernel.dtype), iterations=self.iterations
        )
        return soft[:, :-1, :-1] * problems.mask

    def forward(self, problems: PairBatch) -> Tensor:
        """The soft assignment, differentiable in costs and weights."""
        return self.soft_and_kept(problems)[0]

    @torch.no_grad()
    def assign(self, problems: PairBatch) -> Tensor:
        """The hard one. Rows for which no pair is left are matched by lowest cost.

        Raises:
            InputError: For costs outside [0, 1].
        """
        check_unit_costs(problems)
        soft, kept = self.soft_and_kept(problems)
        if self.finish == "exact":
            found = exact_of_soft(soft, problems)
        else:
            allowed = soft > UNMATCHED if self.partial else kept
            found = greedy_assignment(soft, allowed)
        if self.partial:
            return _above(found, soft, UNMATCHED)
        return complete_assignment(found, problems)


class SinkhornSolver(nn.Module):
    """Sinkhorn on negated costs, with Gumbel noise on request.

    Args:
        temperature: Of the kernel; a buffer, so that it is saved with the weights.
        iterations: Rounds of rows and columns.
        noise: Scale of Gumbel noise on the costs; 0 for none.
        samples: With noise, how many draws `assign` takes the cheapest of; the soft assignment is
            their mean, in training of one draw.
        partial: Whether rows and columns may stay unmatched.
        rng: Where noise comes from.
    """

    temperature: Tensor

    def __init__(
        self,
        *,
        temperature: float,
        iterations: int = 20,
        noise: float = 0.0,
        samples: int = 8,
        partial: bool = False,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if noise and rng is None:
            raise InputError("Gumbel noise needs a random generator.")
        self.register_buffer("temperature", torch.tensor(temperature))
        self.iterations = iterations
        self.noise = noise
        self.samples = samples if noise else 1
        self.partial = partial
        self.rng = rng

    def draws(self, problems: PairBatch, count: int) -> list[Tensor]:
        """So many soft assignments; all alike without noise."""
        return [self._soft(problems) for _ in range(count)]

    def forward(self, problems: PairBatch) -> Tensor:
        """The soft assignment, differentiable in the costs."""
        return torch.stack(self.draws(problems, 1 if self.training else self.samples)).mean(0)

    @torch.no_grad()
    def assign(self, problems: PairBatch) -> Tensor:
        """The hard one: greedy on the soft one; with noise the cheapest of several."""
        best: Tensor | None = None
        for soft in self.draws(problems, self.samples):
            found = greedy_assignment(soft, soft > UNMATCHED if self.partial else problems.mask)
            if best is None:
                best = found
                continue
            gain = _price(best, problems) - _price(found, problems)
            best = torch.where((gain > 0)[:, None], found, best)
        assert best is not None
        return best

    def _soft(self, problems: PairBatch) -> Tensor:
        scores = -problems.costs.float()
        if self.noise and self.rng is not None:
            noise = gumbel_noise(tuple(scores.shape), self.rng)
            scores = scores + self.noise * noise.to(scores.device)
        return sinkhorn(
            scores,
            problems.rows,
            problems.columns,
            temperature=self.temperature.item(),
            iterations=self.iterations,
            slack=-UNMATCHED if self.partial else None,
        )


class DiscreteSolver(nn.Module):
    """The exact solution or the greedy one. Its soft assignment `1 - cost` looks at pairs alone.

    Args:
        kind: By which rule `assign` works.
        partial: Whether rows and columns may stay unmatched.
    """

    def __init__(self, kind: Finish, *, partial: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.partial = partial

    def forward(self, problems: PairBatch) -> Tensor:
        """`1 - cost`, the probability that a pair matches by itself."""
        return (1 - problems.costs) * problems.mask

    @torch.no_grad()
    def assign(self, problems: PairBatch) -> Tensor:
        """The hard assignment."""
        costs = problems.costs
        cheap = costs < UNMATCHED if self.partial else torch.ones_like(costs, dtype=torch.bool)
        if self.kind == "greedy":
            return greedy_assignment(-costs, problems.mask & cheap)
        limited = costs.clamp_max(UNMATCHED) if self.partial else costs
        found = exact_assignment(
            PairBatch(values=limited, rows=problems.rows, columns=problems.columns)
        )
        return _above(found, cheap.float(), 0.5)


class CostedSolver(nn.Module):
    """A network that gives each pair a cost, and a solver behind it: trained as one.

    Args:
        cost_network: Takes `(..., features)`, gives `(...)` in [0, 1]; None passes costs through.
        solver: One of this module's.
    """

    def __init__(self, cost_network: nn.Module | None, solver: nn.Module) -> None:
        super().__init__()
        self.cost_network = cost_network
        self.solver = solver

    def costs(self, problems: PairBatch) -> PairBatch:
        """The same problems with costs in place of features.

        Raises:
            InputError: When the network's answer is not a cost for each pair.
        """
        if self.cost_network is None:
            return PairBatch(values=problems.costs, rows=problems.rows, columns=problems.columns)
        costs = self.cost_network(problems.values)
        if costs.shape != problems.values.shape[:3]:
            raise InputError(
                f"The cost network turns features {tuple(problems.values.shape)} into "
                f"{tuple(costs.shape)}; it must give one cost a pair, "
                f"{tuple(problems.values.shape[:3])}."
            )
        costs = costs.float() * problems.mask
        return PairBatch(values=costs, rows=problems.rows, columns=problems.columns)

    def forward(self, problems: PairBatch) -> Tensor:
        """The soft assignment, differentiable in the features and both networks' weights."""
        return self.solver(self.costs(problems))

    @torch.no_grad()
    def assign(self, problems: PairBatch) -> Tensor:
        """The hard assignment `(batch, rows)`."""
        assign = self.solver.assign
        assert callable(assign)
        return assign(self.costs(problems))


def check_unit_costs(problems: PairBatch) -> None:
    """Refuses costs outside [0, 1], which the learned solver was not trained on.

    Raises:
        InputError: Says how to scale them.
    """
    low, high = (value.item() for value in problems.costs.detach().aminmax())
    if low < 0 or high > 1:
        raise InputError(
            f"Costs are {low:.4g} to {high:.4g}; the learned solver takes [0, 1]. Scale them: "
            "(costs - low) / (high - low) has the same best assignments."
        )


def exact_of_soft(soft: Tensor, problems: PairBatch) -> Tensor:
    """The one-to-one assignment of the largest sum of a soft one."""
    scores = PairBatch(values=-soft.detach(), rows=problems.rows, columns=problems.columns)
    return exact_assignment(scores)


def _above(found: Tensor, values: Tensor, threshold: float) -> Tensor:
    """The assignment without the pairs whose value is not above the threshold."""
    chosen = values.gather(2, found.clamp_min(0)[:, :, None])[:, :, 0]
    return found.where(chosen > threshold, torch.full_like(found, -1))


def _price(found: Tensor, problems: PairBatch) -> Tensor:
    """The cost of an assignment, in which what is unmatched costs `UNMATCHED`."""
    pairs = assignment_matrix(found, problems.values.shape[2]).sum((1, 2))
    return assignment_cost(found, problems.costs) - UNMATCHED * pairs
