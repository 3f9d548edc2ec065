"""How good and how varied lists of items are, a figure a user.

Convention: `ranked` is `(users, number)`, best first; ids begin at 1 and 0 is no item.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def hits_of(ranked: Tensor, targets: Tensor) -> Tensor:
    """Which places of a list hold a target.

    Args:
        ranked: `(users, number)`, no id twice but 0.
        targets: What the users took, `(users, any)`, padded with 0.

    Returns:
        `(users, number)`, bool.
    """
    return (ranked[:, :, None] == targets[:, None]).any(2) & (ranked != 0)


def number_of_targets(targets: Tensor) -> Tensor:
    """How many different items each user took, `(users,)`; 0 is padding."""
    ordered = targets.sort(dim=1).values
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[:, 1:] = ordered.diff(dim=1) != 0
    return (first & (ordered != 0)).sum(1)


def recall(hits: Tensor, wanted: Tensor) -> Tensor:
    """Share of a user's targets that the list holds, `(users,)`.

    Args:
        hits: `(users, number)`.
        wanted: Targets of each user, `(users,)`, at least 1.
    """
    return hits.sum(1) / wanted


def hit_rate(hits: Tensor) -> Tensor:
    """1 for a list with any hit, `(users,)`."""
    return hits.any(1).float()


def ndcg(hits: Tensor, wanted: Tensor) -> Tensor:
    """Hits, each worth `1 / log2(place + 1)`, over what the best possible list is worth.

    Args:
        hits: `(users, number)`.
        wanted: Targets of each user, `(users,)`. The number of hits in its place gives what is
            sometimes reported: how early the hits stand, whatever share of the targets they are.

    Returns:
        `(users,)`, in [0, 1]; 0 for a list without hits.
    """
    number = hits.shape[1]
    worth = 1 / torch.arange(2, number + 2, device=hits.device, dtype=torch.float32).log2()
    ideal = torch.cat([worth.new_zeros(1), worth.cumsum(0)])[wanted.clamp(max=number)]
    return (hits * worth).sum(1) / ideal.clamp(min=torch.finfo(ideal.dtype).tiny)


def diversity(ranked: Tensor, categories: Tensor) -> Tensor:
    """Share of the pairs of items in a list whose categories differ, `(users,)`.

    Args:
        ranked: `(users, number)`; 0 is left out.
        categories: One number from 0 for each id, `(largest id + 1,)`.
    """
    there = (ranked != 0).double()
    count = there.new_zeros(len(ranked), int(categories.max()) + 1)
    count.scatter_add_(1, categories[ranked], there)
    pairs = _pairs(there.sum(1))
    return ((pairs - _pairs(count).sum(1)) / pairs.clamp(min=1)).float()


def _pairs(count: Tensor) -> Tensor:
    return count * (count - 1) / 2


def ranking_figures(
    ranked: Tensor,
    targets: Tensor,
    *,
    at: Sequence[int] = (20, 50),
    categories: Tensor | None = None,
) -> dict[str, float]:
    """Means over users, in percent: `recall_20`, `ndcg_20`, `hit_rate_20`, `ndcg_of_hits_20`, ...

    Args:
        ranked: `(users, at least the largest of at)`.
        targets: `(users, any)`, padded with 0, at least one each.
        at: Lengths of lists.
        categories: Adds `diversity_20` and so on, see `diversity`.
    """
    wanted = number_of_targets(targets)
    hits = hits_of(ranked, targets)
    figures: dict[str, float] = {}
    for number in at:
        found = hits[:, :number]
        values = {
            "recall": recall(found, wanted),
            "ndcg": ndcg(found, wanted),
            "hit_rate": hit_rate(found),
            "ndcg_of_hits": ndcg(found, found.sum(1)),
        }
        if categories is not None:
            values["diversity"] = diversity(ranked[:, :number], categories)
        figures |= {f"{name}_{number}": 100 * v.mean().item() for name, v in values.items()}
    return figures
