"""Accelerated proximal gradient descent with restarts, for a batch of convex problems at once.

Amir Beck, Marc Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse
Problems", SIAM J. Imaging Sciences 2009; restarts as in Brendan O'Donoghue, Emmanuel Candes,
"Adaptive Restart for Accelerated Gradient Schemes", Foundations of Computational Mathematics 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bequest.errors import InputError

_CHECK_EVERY = 5  # steps between two looks at whether all are done, each of which waits for a GPU


@dataclass(frozen=True, kw_only=True, eq=False)
class Convergence:
    """How a descent ended.

    Attributes:
        steps: Steps that were taken.
        converged: `(batch,)` bool: whose last relative change was below the tolerance.
        change: `(batch,)`: the last relative change.
        costs: `(steps + 1, batch)` from the start on, where a cost was given; else empty.
    """

    steps: int
    converged: Tensor
    change: Tensor
    costs: Tensor


@torch.no_grad()
def accelerated_gradient(
    gradient: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    step_size: float | Tensor,
    proximal: Callable[[Tensor], Tensor] | None = None,
    cost: Callable[[Tensor], Tensor] | None = None,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
) -> tuple[Tensor, Convergence]:
    """Minimises `f(x) + g(x)` for each member of a batch on its own.

    A member's momentum starts anew when a step leads uphill: where `cost` is given, when the cost
    would rise, so that it never does; else when the step is against the gradient. A member that is
    done is left alone, so that a batch gives what its members give one by one.

    Args:
        gradient: Of f, `(batch, ...)` to the same.
        start: `(batch, ...)`.
        step_size: 1 / Lipschitz constant of the gradient, or less: then the cost falls.
        proximal: Of `step_size * g`; None for no g.
        cost: `f + g`, `(batch, ...)` to `(batch,)`; None saves its evaluation.
        tolerance: Of `|| x_k - x_{k-1} || / || x_k ||`; 0 takes all steps.
        max_steps: At most so many.

    Returns:
        The minimisers, and how it ended.

    Raises:
        InputError: For a step size or tolerance that makes no sense.
    """
    if not bool(torch.as_tensor(step_size).gt(0).all()) or tolerance < 0:
        raise InputError(
            f"step_size is {step_size} and tolerance {tolerance}: the first must be above 0, the "
            "second not below."
        )
    shape = (-1,) + (1,) * (start.ndim - 1)
    x = z = start
    time = start.new_ones(len(start))
    done = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    change = torch.full_like(time, torch.inf)
    value = cost(x) if cost else None
    costs = [value] if value is not None else []
    step = 0
    while step < max_steps and not (step % _CHECK_EVERY == 0 and bool(done.all())):
        new = z - step_size * gradient(z)
        new = proximal(new) if proximal else new
        moved = new - x
        if cost is not None and value is not None:
            proposed = cost(new)
            uphill = proposed > value
            # Without momentum a step leads uphill by rounding alone: there is nothing left to gain.
            done |= uphill & (time == 1)
        else:
            uphill = ((z - new) * moved).flatten(1).sum(1) > 0
        taken = ~uphill & ~done
        following = (1 + (1 + 4 * time**2).sqrt()) / 2
        momentum = ((time - 1) / following).view(shape)
        kept = taken.view(shape)
        x = torch.where(kept, new, x)
        z = torch.where(kept, new + momentum * moved, x)
        time = torch.where(taken, following, torch.ones_like(time))
        norms = moved.flatten(1).norm(dim=1) / new.flatten(1).norm(dim=1).clamp(min=1e-30)
        change = torch.where(taken, norms, change)
        done |= taken & (norms < tolerance)
        if value is not None:
            value = torch.where(taken, proposed, value)
            costs.append(value)
        step += 1
    return x, Convergence(
        steps=step,
        converged=done,
        change=change,
        costs=torch.stack(costs) if costs else start.new_zeros(0, len(start)),
    )
