"""How the dynamics that a policy meets may differ from those it was learnt with."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.ops.tabular import TabularModel


def slipping(model: TabularModel, slip: float) -> TabularModel:
    """The model in which an action is, with probability `slip`, replaced by one drawn uniformly."""
    if not 0 <= slip <= 1:
        raise InputError(f"slip is {slip}; it must be in [0, 1].")
    actions = model.num_actions

    def other(values: Tensor) -> Tensor:
        """The outcomes of all actions, for each action."""
        return values.flatten(2)[:, :, None].expand(-1, -1, actions, -1)

    return TabularModel(
        successors=torch.cat([model.successors, other(model.successors)], -1),
        probabilities=torch.cat(
            [(1 - slip) * model.probabilities, slip / actions * other(model.probabilities)], -1
        ),
        rewards=torch.cat([model.rewards, other(model.rewards)], -1),
        start=model.start,
    )


def redrawn(model: TabularModel, amount: float, seed: int) -> TabularModel:
    """The model with other probabilities of the same outcomes.

    Args:
        model: Nominal; outcomes that it never gives stay impossible.
        amount: The share of the new probabilities, in [0, 1]. These are uniform over all
            distributions on a pair's possible outcomes.
        seed: Decides them.
    """
    if not 0 <= amount <= 1:
        raise InputError(f"amount is {amount}; it must be in [0, 1].")
    rng = torch.Generator().manual_seed(seed)
    fresh = torch.empty(model.probabilities.shape, dtype=model.dtype).exponential_(generator=rng)
    fresh = fresh.to(model.probabilities.device).masked_fill(model.probabilities == 0, 0)
    fresh = fresh / fresh.sum(-1, keepdim=True)
    return replace(model, probabilities=(1 - amount) * model.probabilities + amount * fresh)
