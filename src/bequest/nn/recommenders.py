"""Networks that recommend: scores of all items for what a user did, and lists out of them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.nn.interests import (
    MeanVector,
    RecurrentVector,
    RoutedInterests,
    SelfAttentiveInterests,
)
from bequest.nn.modes import frozen
from bequest.ops.retrieval import retrieve
from bequest.ops.sequences import Sequences, check_sequences

Extractor = Literal["sa", "dr", "mind", "mean", "gru"]
_CHUNK = 2**22
"""Scores at a time: 16 MiB, so that the passes over them stay near the processor."""


class Recommender(nn.Module):
    """Anything that scores items; subclasses give `scores`."""

    num_items: int

    def scores(self, histories: Sequences) -> Tensor:
        """`(users, interests, num_items + 1)`, a tensor that the caller may overwrite.

        Column 0 is padding and means nothing.
        """
        raise NotImplementedError

    @torch.no_grad()
    def recommend(
        self,
        histories: Sequences,
        *,
        number: int = 50,
        exclude_seen: bool = False,
        diversity: float = 0.0,
        categories: Tensor | None = None,
    ) -> Tensor:
        """The items to show to each user, best first.

        Args:
            histories: What the users did so far, oldest first, at least one event each.
            number: Items a user.
            exclude_seen: Whether items of the history are left out.
            diversity: How much score a pair of items of different categories is worth; see
                `bequest.ops.retrieval.greedy_diverse_rerank`. 0 ranks by score alone.
            categories: A number from 0 for each item, `(num_items + 1,)`, the first for padding;
                needed where `diversity` is above 0.

        Returns:
            Ids `(users, number)`; 0 where items run out.

        Raises:
            InputError: For empty histories, unknown ids, or categories that don't fit.
        """
        check_sequences(histories, num_items=self.num_items, shortest=1, name="histories")
        if number < 1:
            raise InputError(f"number is {number}; it must be at least 1.")
        if diversity and categories is None:
            raise InputError("diversity needs the categories of the items.")
        if categories is not None and len(categories) != self.num_items + 1:
            raise InputError(
                f"There are {len(categories)} categories; give one for each of the "
                f"{self.num_items} items and one before them, for padding."
            )
        device = next(iter(self.state_dict().values())).device
        histories = histories.to(device)
        if categories is not None:
            categories = categories.to(device)
        with frozen(self):
            return torch.cat(
                [
                    retrieve(
                        self.scores(part),
                        number=number,
                        exclude=part.padded() if exclude_seen else None,
                        diversity=diversity,
                        categories=categories,
                    )
                    for part in self._parts(histories)
                ]
            )

    def _parts(self, histories: Sequences) -> list[Sequences]:
        users = torch.arange(len(histories), device=histories.items.device)
        size = max(1, _CHUNK // (4 * (self.num_items + 1)))
        return [histories.take(places) for places in users.split(size)]


class InterestNetwork(Recommender):
    """Item embeddings, and a layer that makes a user's vectors out of those of the history.

    Args:
        num_items: Ids are 1 .. num_items.
        dim: Of items and vectors.
        interests: Vectors a user.
        length: Events of a history that are looked at, the last ones.
        extractor: `sa`, `dr`, `mind`, `mean` or `gru`, see `bequest.nn.interests`.
        positions: Whether `sa` knows places.
        relu: Whether `mind` ends in a layer with ReLU.
    """

    def __init__(
        self,
        num_items: int,
        *,
        dim: int,
        interests: int,
        length: int,
        extractor: Extractor = "sa",
        positions: bool = True,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.num_items, self.length = num_items, length
        self.items = nn.Embedding(num_items + 1, dim, padding_idx=0)
        nn.init.xavier_uniform_(self.items.weight)
        with torch.no_grad():
            self.items.weight[0] = 0
        self.extractor = _extractor(extractor, dim, interests, length, positions, relu)

    def forward(self, histories: Tensor) -> Tensor:
        """Vectors `(users, interests, dim)` of histories `(users, length)`, see `Sequences.last`.

        Each history has at least one event.
        """
        return self.interests_of(self.items(histories), histories != 0)

    def interests_of(self, events: Tensor, there: Tensor) -> Tensor:
        """The same for embeddings `(users, length, dim)`, zero where `there` is False."""
        out: Tensor = self.extractor(events, there)
        return out

    def scores(self, histories: Sequences) -> Tensor:
        """Inner products of each vector with each item, `(users, interests, num_items + 1)`."""
        return self(histories.last(self.length)) @ self.items.weight.T


class Popularity(Recommender):
    """The same list for everybody: items by how often they occur."""

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.num_items = len(counts) - 1
        self.counts: Tensor
        self.register_buffer("counts", counts.float())

    def scores(self, histories: Sequences) -> Tensor:
        """The counts, `(users, 1, num_items + 1)`."""
        return self.counts.repeat(len(histories), 1, 1)


def _extractor(
    name: Extractor, dim: int, interests: int, length: int, positions: bool, relu: bool
) -> nn.Module:
    match name:
        case "sa":
            return SelfAttentiveInterests(dim, interests, length, positions=positions)
        case "dr":
            return RoutedInterests(dim, interests, length)
        case "mind":
            return RoutedInterests(dim, interests, length, shared=True, relu=relu)
    if interests != 1:
        raise InputError(f"The extractor '{name}' makes one vector a user; interests must be 1.")
    return MeanVector(dim) if name == "mean" else RecurrentVector(dim)
