"""From scores to lists: several rankings merged into one, and one that trades score for variety.

Usable behind any retriever: ids and scores go in, ids come out. Id 0 is no item; a list that runs
out of items is filled with it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError

_NEVER = -float("inf")


def multi_interest_merge(scores: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """One list out of several: an item counts with its best score, and once.

    Args:
        scores: `(users, interests, number)`, or `(users, entries)`.
        ids: The same shape.

    Returns:
        Scores `(users, entries)`, falling, and their ids; repeated ids and id 0 have become id 0
        with the score -inf, at the end.
    """
    scores, order = scores.flatten(1).sort(dim=1, descending=True, stable=True)
    ids = ids.flatten(1).gather(1, order)
    # Sorted by id, equal ones are neighbours, and of these the best comes first.
    by_id, place = ids.sort(dim=1, stable=True)
    repeated = torch.zeros_like(ids, dtype=torch.bool)
    repeated.scatter_(1, place[:, 1:], by_id[:, 1:] == by_id[:, :-1])
    scores = scores.masked_fill(repeated | (ids == 0), _NEVER)
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    return scores, ids.gather(1, order).masked_fill(scores == _NEVER, 0)


def greedy_diverse_rerank(
    scores: Tensor, ids: Tensor, categories: Tensor, *, diversity: float, number: int
) -> Tensor:
    """Chooses items one after the other, each by score less a price on its category.

    The sum of scores plus `diversity` times the pairs of different categories is raised most by the
    item with the largest `score - diversity * (items of its category chosen so far)`.

    Args:
        scores: `(users, candidates)`; -inf for what must not be chosen.
        ids: The same shape, no id twice.
        categories: One number from 0 for each id, `(largest id + 1,)`.
        diversity: lambda of eq. 9 and 10; 0 gives the candidates with the highest scores.
        number: Items to choose.

    Returns:
        `(users, number)`, in the order of choice; 0 where there are no more candidates.
    """
    if scores.shape[1] == 0:
        return ids.new_zeros(len(ids), number)
    category = categories[ids]
    count = scores.new_zeros(len(ids), int(categories.max()) + 1)
    left = scores.clone()
    chosen = []
    for _ in range(number):
        # Where candidates are sorted, argmax prefers the higher score among equals.
        place = (left - diversity * count.gather(1, category)).argmax(1, keepdim=True)
        found = left.gather(1, place) > _NEVER
        chosen.append(ids.gather(1, place) * found)
        count.scatter_add_(1, category.gather(1, place), found.to(count.dtype))
        left.scatter_(1, place, _NEVER)
    return torch.cat(chosen, dim=1)


def retrieve(
    scores: Tensor,
    *,
    number: int,
    exclude: Tensor | None = None,
    diversity: float = 0.0,
    categories: Tensor | None = None,
) -> Tensor:
    """The best items of each user, by the best of the user's interests.

    Args:
        scores: `(users, interests, items + 1)`; column 0 is padding. Overwritten.
        number: Items to give.
        exclude: Ids never to give, `(users, any)`, padded with 0.
        diversity: See `greedy_diverse_rerank`; the candidates are the `number` best of each
            interest.
        categories: `(items + 1,)`, needed where `diversity` is above 0.

    Returns:
        Ids `(users, number)`, best first; 0 where items run out.

    Raises:
        InputError: For `diversity` without categories.
    """
    scores[:, :, 0] = _NEVER
    if exclude is not None:
        scores.scatter_(2, exclude[:, None].expand(-1, scores.shape[1], -1), _NEVER)
    most = min(number, scores.shape[2])
    if not diversity:
        # The merge of the interests' lists, without the lists.
        best = scores.amax(1).topk(most, dim=1)
        ids = best.indices.masked_fill(best.values == _NEVER, 0)
        return torch.nn.functional.pad(ids, (0, number - most))
    if categories is None:
        raise InputError("diversity needs the categories of the items.")
    lists = scores.topk(most, dim=2)
    values, ids = multi_interest_merge(lists.values, lists.indices)
    return greedy_diverse_rerank(values, ids, categories, diversity=diversity, number=number)
