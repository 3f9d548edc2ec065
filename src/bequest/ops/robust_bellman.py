"""Exact Bellman backups where nature chooses the dynamics near nominal ones.

Six answers to what nature may do, at each state and action by itself:

- `none`: nothing; the ordinary backup.
- `chi2`, `kl`: anything, for a price: `inf_q <q, v> + penalty * D_f(q || p)` (W. Yang et al.,
  arXiv 2302.01248, Section 3).
- `chi2-ball`, `kl-ball`: any `q` with `D_f(q || p) <= radius`, for nothing.
- `contamination`: with probability `radius`, send the process to any state at all (Y. Wang, S. Zou,
  arXiv 2109.14523).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.ops.divergences import (
    CHI2,
    KL,
    Divergence,
    ball_penalty,
    worst_distribution,
    worst_expectation,
    worst_in_ball,
)
from bequest.ops.tabular import TabularModel, outcome_values, policy_values

Uncertainty = Literal["chi2", "kl", "chi2-ball", "kl-ball", "contamination", "none"]
"""What nature may do."""


@dataclass(frozen=True, kw_only=True)
class Nature:
    """What nature may do, and at what price or how far.

    Attributes:
        uncertainty: Which of the six.
        penalty: The price of a unit of divergence, for `chi2` and `kl`.
        radius: The reach of a ball, or the share of contamination.

    Raises:
        InputError: For a share of contamination above 1, a ball without extent, a price of 0.
    """

    uncertainty: Uncertainty
    penalty: float = 1.0
    radius: float = 0.1

    def __post_init__(self) -> None:
        if self.uncertainty == "contamination" and not 0 <= self.radius <= 1:
            raise InputError(
                f"radius is {self.radius}; a share of contamination must be in [0, 1]."
            )
        if self.is_ball and not self.radius > 0:
            raise InputError(
                f"radius is {self.radius}; a ball needs one above 0. Without any, set uncertainty "
                "to 'none'."
            )
        if not self.penalty > 0:
            raise InputError(f"penalty is {self.penalty}; it must be above 0.")

    @property
    def divergence(self) -> Divergence | None:
        """What binds nature, where a divergence does."""
        return {"chi2": CHI2, "kl": KL}.get(self.uncertainty.removesuffix("-ball"))

    @property
    def is_ball(self) -> bool:
        """Whether a divergence is bounded instead of priced."""
        return self.uncertainty.endswith("-ball")


def robust_backup(model: TabularModel, values: Tensor, nature: Nature, discount: float) -> Tensor:
    """The robust Bellman operator: `(models, states, actions)` from values `(models, states)`.

    A contraction by `discount` in the largest norm, whatever nature may do.
    """
    outcomes, probabilities = outcome_values(model, values, discount), model.probabilities
    if nature.divergence is None:
        share = nature.radius if nature.uncertainty == "contamination" else 0.0
        reward = (probabilities * model.rewards).sum(-1) / discount
        anywhere = reward + values.amin(1)[:, None, None]
        mean = (probabilities * outcomes).sum(-1)
        return discount * ((1 - share) * mean + share * anywhere)
    if nature.is_ball:
        return discount * worst_in_ball(nature.divergence, outcomes, probabilities, nature.radius)
    return discount * worst_expectation(nature.divergence, outcomes, probabilities, nature.penalty)


def iterations_needed(discount: float, tolerance: float) -> int:
    """Backups after which values that began at most `1 / (1 - discount)` off are within it."""
    start = 1 / (1 - discount)
    count = 0
    while start > tolerance:
        start *= discount
        count += 1
    return count


def robust_values(
    model: TabularModel, nature: Nature, discount: float, *, tolerance: float = 1e-8
) -> Tensor:
    """The best values that can be had against `nature`, up to `tolerance`: `(models, states)`."""
    values = torch.full_like(model.start, 1 / (1 - discount))
    for _ in range(iterations_needed(discount, tolerance)):
        values = robust_backup(model, values, nature, discount).amax(-1)
    return values


def robust_policy_values(
    model: TabularModel,
    actions: Tensor,
    nature: Nature,
    discount: float,
    *,
    tolerance: float = 1e-8,
) -> Tensor:
    """What a deterministic policy is worth when nature answers it: `(models, states)`.

    Args:
        model: The nominal dynamics.
        actions: `(models, states)`, int64.
        nature: What answers.
        discount: In (0, 1).
        tolerance: Largest error.
    """
    if nature.uncertainty == "none":
        return policy_values(model, actions, discount)
    places = actions[:, :, None, None].expand(-1, -1, 1, model.successors.shape[-1])
    followed = replace(
        model,
        successors=model.successors.gather(2, places),
        probabilities=model.probabilities.gather(2, places),
        rewards=model.rewards.gather(2, places),
    )
    return robust_values(followed, nature, discount, tolerance=tolerance)


def worst_probabilities(
    model: TabularModel, values: Tensor, nature: Nature, discount: float
) -> Tensor:
    """The transition probabilities that nature answers `values` with, where a divergence binds it.

    Returns:
        Probabilities of the model's outcomes, `(models, states, actions, outcomes)`.

    Raises:
        InputError: For `none`, where nature does nothing, and `contamination`, which leads outside
            the model's outcomes.
    """
    divergence = nature.divergence
    if divergence is None:
        raise InputError(f"'{nature.uncertainty}' has no worst kernel on the model's outcomes.")
    outcomes, penalty = outcome_values(model, values, discount), torch.tensor(nature.penalty)
    if nature.is_ball:
        penalty = ball_penalty(divergence, outcomes, model.probabilities, nature.radius)
    return worst_distribution(divergence, outcomes, model.probabilities, penalty)


def equivalent_radius(
    model: TabularModel, nature: Nature, discount: float, *, halvings: int = 30
) -> Tensor:
    """The ball's radius that leads to the same value at the start as a price does (Theorem 3.1).

    Both values move one way only, a ball's down in its radius and a price's up in its height, so
    bisection finds it.

    Args:
        model: The nominal dynamics.
        nature: `chi2` or `kl`, with the price.
        discount: In (0, 1).
        halvings: Of the logarithm of the radius, from 1e-6 to 1e3.

    Returns:
        `(models,)`; at an end of the range where no radius within leads there.

    Raises:
        InputError: For another nature.
    """
    if nature.divergence is None or nature.is_ball:
        raise InputError(f"Only 'chi2' and 'kl' have a price, not '{nature.uncertainty}'.")
    target = (robust_values(model, nature, discount) * model.start).sum(-1)
    low = torch.full_like(target, -6.0)
    high = torch.full_like(target, 3.0)
    for _ in range(halvings):
        middle = (low + high) / 2
        values = _ball_values(model, nature.divergence, 10**middle, discount)
        too_small = (values * model.start).sum(-1) > target
        low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
    return 10 ** ((low + high) / 2)


def _ball_values(
    model: TabularModel, divergence: Divergence, radii: Tensor, discount: float
) -> Tensor:
    """The best values against a ball of a radius for each model."""
    values = torch.full_like(model.start, 1 / (1 - discount))
    for _ in range(iterations_needed(discount, 1e-6)):
        outcomes = outcome_values(model, values, discount)
        worst = worst_in_ball(divergence, outcomes, model.probabilities, radii[:, None, None])
        values = discount * worst.amax(-1)
    return values
