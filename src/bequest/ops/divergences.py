"""f-divergences and the scalar dual of the worst expectation near a distribution.

For a convex `f` with `f(1) = 0`, a distribution `p` and numbers `v`, nature's problem is

    inf_q  <q, v> + penalty * D_f(q || p)  =  sup_dual  E_p[ J(dual, v) ]
    J(dual, v) = dual - penalty * f*((dual - v) / penalty)

A problem over all distributions becomes one over a single number, concave, whose gradient a single
draw from `p` gives without bias (W. Yang et al., arXiv 2302.01248, Section 3; the conjugate `f*` is
taken over ratios `q / p >= 0`). Outcomes that `p` never gives stay impossible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Name = Literal["chi2", "kl"]
"""What an f-divergence is called."""


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """One f-divergence: `D_f(q || p) = E_p[f(q / p)]`. All functions are element by element.

    Attributes:
        f: Of a density ratio, at least 0.
        conjugate: `f*`.
        ratio: The derivative of `f*`: the density ratio at which the conjugate is attained.
        furthest: The argument of `ratio` at which it is 100.
    """

    f: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    ratio: Callable[[Tensor], Tensor]
    furthest: float


_LARGEST_RATIO = 100.0

CHI2 = Divergence(
    f=lambda ratio: (ratio - 1) ** 2,
    conjugate=lambda u: (u + 2).clamp(min=0) ** 2 / 4 - 1,
    ratio=lambda u: (u + 2).clamp(min=0) / 2,
    furthest=2 * _LARGEST_RATIO - 2,
)
"""Pearson's: `f(t) = (t - 1)^2`."""

KL = Divergence(
    f=lambda ratio: torch.special.xlogy(ratio, ratio),
    conjugate=lambda u: (u - 1).exp(),
    ratio=lambda u: (u - 1).exp(),
    furthest=1 + math.log(_LARGEST_RATIO),
)
"""Kullback and Leibler's: `f(t) = t log t`."""

DIVERGENCES: dict[Name, Divergence] = {"chi2": CHI2, "kl": KL}
"""By name."""


def dual_value(
    divergence: Divergence, dual: Tensor, outcomes: Tensor, penalty: Tensor | float
) -> Tensor:
    """`J(dual, v)` of each outcome; its mean over draws is an unbiased estimate of `E_p[J]`.

    Shapes:
        dual: Broadcasts with `outcomes`.
        outcomes: Any shape.
        penalty: Above 0; broadcasts with `outcomes`.
    """
    return dual - penalty * divergence.conjugate((dual - outcomes) / penalty)


def density_ratio(
    divergence: Divergence, dual: Tensor, outcomes: Tensor, penalty: Tensor | float
) -> Tensor:
    """`q / p` that nature gives each outcome; `1 - ratio` is the gradient of `J` in the dual.

    At the best dual its mean is 1, and `p * ratio` is the worst distribution.
    """
    return divergence.ratio((dual - outcomes) / penalty)


def clipped_ratio(
    divergence: Divergence, dual: Tensor, outcomes: Tensor, penalty: Tensor | float
) -> Tensor:
    """`density_ratio`, at most 100: for stochastic steps, where KL's grows without a bound.

    At the best dual no ratio exceeds `1 / p`, so outcomes of 1 % or more lose nothing.
    """
    # Before the exponential: an overflow could not be mended behind it.
    return divergence.ratio(((dual - outcomes) / penalty).clamp(max=divergence.furthest))


def clipped_value(
    divergence: Divergence, dual: Tensor, outcomes: Tensor, penalty: Tensor | float
) -> Tensor:
    """The `J` whose gradient `clipped_ratio` gives: concave, and a line where that is 100."""
    reach = (dual - outcomes) / penalty
    near = reach.clamp(max=divergence.furthest)
    return dual - penalty * (divergence.conjugate(near) + _LARGEST_RATIO * (reach - near))


def best_dual(
    divergence: Divergence, outcomes: Tensor, probabilities: Tensor, penalty: Tensor | float
) -> Tensor:
    """The exact maximiser of `E_p[J]`, in closed form.

    Shapes:
        outcomes: `(..., outcomes)`.
        probabilities: The same; at least 0, of sum 1 along the last axis.
        penalty: A number or `(...)`, above 0.

    Returns:
        `(...)`.
    """
    # An impossible outcome must not be the smallest one.
    outcomes = outcomes.masked_fill(probabilities == 0, math.inf)
    penalty = torch.as_tensor(penalty, dtype=outcomes.dtype, device=outcomes.device)
    if divergence is KL:
        logits = probabilities.log() - outcomes / penalty[..., None]
        return penalty - penalty * logits.logsumexp(-1)
    # E (x - v)_+ = 2 penalty with x = dual + 2 penalty. The left side is convex and piecewise
    # linear, the largest of its lines, so its root is the smallest of theirs.
    ordered, order = outcomes.sort(-1)
    mass = probabilities.gather(-1, order)
    total = (mass * ordered.masked_fill(mass == 0, 0)).cumsum(-1)
    mass = mass.cumsum(-1)
    roots = (2 * penalty[..., None] + total) / mass.clamp(min=torch.finfo(mass.dtype).tiny)
    return roots.amin(-1) - 2 * penalty


def worst_expectation(
    divergence: Divergence, outcomes: Tensor, probabilities: Tensor, penalty: Tensor | float
) -> Tensor:
    """`inf_q <q, v> + penalty * D_f(q || p)`, exactly. Shapes as in `best_dual`."""
    penalty = torch.as_tensor(penalty, dtype=outcomes.dtype, device=outcomes.device)
    dual = best_dual(divergence, outcomes, probabilities, penalty)
    values = dual_value(divergence, dual[..., None], outcomes, penalty[..., None])
    return (probabilities * values.masked_fill(probabilities == 0, 0)).sum(-1)


def worst_distribution(
    divergence: Divergence, outcomes: Tensor, probabilities: Tensor, penalty: Tensor | float
) -> Tensor:
    """Nature's answer to a penalty: `(..., outcomes)`, of sum 1."""
    penalty = torch.as_tensor(penalty, dtype=outcomes.dtype, device=outcomes.device)
    dual = best_dual(divergence, outcomes, probabilities, penalty)
    ratio = density_ratio(divergence, dual[..., None], outcomes, penalty[..., None])
    return probabilities * ratio.masked_fill(probabilities == 0, 0)


def divergence_of(divergence: Divergence, worst: Tensor, probabilities: Tensor) -> Tensor:
    """`D_f(worst || probabilities)` along the last axis; only where probabilities are above 0."""
    ratio = worst / probabilities.masked_fill(probabilities == 0, 1)
    return (probabilities * divergence.f(ratio)).sum(-1)


def ball_penalty(
    divergence: Divergence,
    outcomes: Tensor,
    probabilities: Tensor,
    radius: Tensor | float,
    *,
    halvings: int = 30,
) -> Tensor:
    """The penalty at which the worst distribution lies on the edge of the ball `D_f <= radius`.

    It is the multiplier of the ball's constraint; the divergence falls in it, so bisection finds
    it. Where even the smallest outcome alone lies within the ball, a penalty of nearly 0.

    Returns:
        `(...)`, above 0; shapes as in `best_dual`.
    """
    spread = outcomes.amax(-1) - outcomes.amin(-1)
    scale = spread.clamp(min=1e-12)
    low, high = scale.log() - 18.0, scale.log() + 18.0
    for _ in range(halvings):
        middle = (low + high) / 2
        worst = worst_distribution(divergence, outcomes, probabilities, middle.exp())
        inside = divergence_of(divergence, worst, probabilities) <= radius
        low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
    return high.exp()


def worst_in_ball(
    divergence: Divergence, outcomes: Tensor, probabilities: Tensor, radius: Tensor | float
) -> Tensor:
    """`inf <q, v>` over all `q` with `D_f(q || p) <= radius`. Shapes as in `best_dual`."""
    penalty = ball_penalty(divergence, outcomes, probabilities, radius)
    return worst_expectation(divergence, outcomes, probabilities, penalty) - penalty * radius
