"""Small worlds to decide in: a chain, random ones, and gymnasium's, all as tables.

The random ones come from numbers drawn by a seed, the same on every device.
"""

from __future__ import annotations

from typing import Any

import torch

from bequest.errors import InputError
from bequest.ops.tabular import TabularModel


def chain(*, states: int = 10, stay: float = 0.6, returns: bool = False) -> TabularModel:
    """The chain of W. Yang et al. (arXiv 2302.01248, Figure 1), as one model.

    Action 0 stays with probability `stay` and moves right otherwise, action 1 the other way round.
    Every state rewards 1 but the last, which rewards 0 and holds for ever.

    Args:
        states: At least 2.
        stay: In [0, 1]; the paper does not say, 0.6 is ours.
        returns: Whether the last state leads back to the first by the same rule, as for learning
            along a trajectory.
    """
    if states < 2 or not 0 <= stay <= 1:
        raise InputError(f"A chain needs 2 states or more and stay in [0, 1]: {states}, {stay}.")
    here = torch.arange(states)
    right = (here + 1) % states if returns else (here + 1).clamp(max=states - 1)
    successors = torch.stack([here, right], -1)[:, None].expand(-1, 2, -1)
    probabilities = torch.tensor([[stay, 1 - stay], [1 - stay, stay]], dtype=torch.float64)
    rewards = (here < states - 1).double()[:, None, None].expand(-1, 2, 2)
    start = torch.zeros(1, states, dtype=torch.float64)
    start[0, 0] = 1
    return TabularModel(
        successors=successors[None].contiguous(),
        probabilities=probabilities.expand(1, states, 2, 2).contiguous(),
        rewards=rewards[None].contiguous(),
        start=start,
    )


def garnets(
    number: int, *, states: int = 30, actions: int = 4, branching: int = 4, seed: int = 0
) -> TabularModel:
    """Garnets (T. W. Archibald, K. McKinnon, L. Thomas, 1995): random models of given sizes.

    Each pair leads to `branching` different states, drawn uniformly, with the probabilities that
    uniform cuts of [0, 1] give. A state's reward is uniform in [0, 1], whatever the action.

    Args:
        number: Models side by side.
        states: Of each model.
        actions: Of each state.
        branching: Successors of each pair, at most `states`.
        seed: Decides all of them.
    """
    if min(number, states, actions, branching) < 1 or branching > states:
        raise InputError(
            f"Garnets need sizes of 1 or more and branching up to states: number {number}, states "
            f"{states}, actions {actions}, branching {branching}."
        )
    rng = torch.Generator().manual_seed(seed)
    shape = (number, states, actions, branching)
    scores = torch.rand(*shape[:3], states, generator=rng)
    cuts = torch.rand(*shape[:3], branching - 1, generator=rng, dtype=torch.float64).sort(-1)[0]
    edges = torch.nn.functional.pad(cuts, (1, 0))
    edges = torch.nn.functional.pad(edges, (0, 1), value=1.0)
    rewards = torch.rand(number, states, 1, 1, generator=rng, dtype=torch.float64)
    return TabularModel(
        successors=scores.topk(branching, dim=-1).indices,
        probabilities=edges.diff(dim=-1),
        rewards=rewards.expand(shape).contiguous(),
        start=torch.full((number, states), 1 / states, dtype=torch.float64),
    )


def gymnasium_model(name: str, **options: Any) -> TabularModel:
    """A world of gymnasium's Toy Text as one model, rewards scaled into [0, 1].

    Args:
        name: `frozen-lake`, `cliff-walking`, `taxi`, or an id of gymnasium.
        options: What `gymnasium.make` takes; for the three names, instead of ours.

    Raises:
        InputError: When gymnasium is missing, or for a world without a table.
    """
    from bequest.data.gymnasium_worlds import make_world, read_world

    return read_world(make_world(name, **options))
