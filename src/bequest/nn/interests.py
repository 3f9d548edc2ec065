"""From what a user did to vectors: self-attentive pooling, capsules by routing, single vectors.

Every layer here takes item embeddings and says which are padding, and gives as many vectors as it
was built for: `forward(events (batch, length, dim), there (batch, length)) -> (batch, interests,
dim)`. Padding is at the right and its embeddings are zero; each row has at least one event.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SelfAttentiveInterests(nn.Module):
    """Weighted means of the events, the weights of each interest by a network of two layers.

    `A = softmax(W2 tanh(W1 (H + P)))` over the events, `V = A^T H`. The second layer has no bias,
    which the softmax over events would cancel.
    """

    def __init__(self, dim: int, interests: int, length: int, *, positions: bool = True) -> None:
        super().__init__()
        limit = (6 / (length + dim)) ** 0.5  # Glorot and Bengio's
        self.positions = (
            nn.Parameter(torch.empty(length, dim).uniform_(-limit, limit)) if positions else None
        )
        self.hidden = nn.Linear(dim, 4 * dim)
        self.weights = nn.Linear(4 * dim, interests, bias=False)

    def forward(self, events: Tensor, there: Tensor) -> Tensor:
        """Vectors `(batch, interests, dim)`: each a mean of the events, without positions."""
        placed = events if self.positions is None else events + self.positions
        # Of events alone: histories are short, and most of a batch may be padding.
        known = self.weights(self.hidden(placed[there]).tanh())
        logits = known.new_full((*there.shape, known.shape[1]), -float("inf"))
        logits[there] = known
        return logits.softmax(1).transpose(1, 2) @ events


class RoutedInterests(nn.Module):
    """Capsules by dynamic routing (Sabour, Frosst, Hinton, NIPS 2017), from events to interests.

    Args:
        dim: Of events and interests.
        interests: How many capsules.
        length: Events at most.
        shared: One map for all events and capsules, routing from random logits; otherwise a map
            for each place and capsule, routing from zero. Maps of places hold for one length only.
        rounds: Of routing.
        relu: A last linear layer with ReLU.
    """

    def __init__(
        self,
        dim: int,
        interests: int,
        length: int,
        *,
        shared: bool = False,
        rounds: int = 3,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.interests, self.shared, self.rounds = interests, shared, rounds
        if shared:
            self.map = nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, dim)))
        else:
            self.map = nn.Parameter(torch.randn(length, dim, interests * dim))
        self.relu = nn.Linear(dim, dim) if relu else None

    def forward(self, events: Tensor, there: Tensor) -> Tensor:
        """Vectors `(batch, interests, dim)`, shorter than 1 unless there is a last layer."""
        votes = self._votes(events)  # (batch, interests, length, dim)
        # Only the last round is learnt through: routing itself takes no gradient.
        interests = route(votes.detach(), there, self._start(votes), rounds=self.rounds - 1)
        weights = _coupling(interests, there).to(votes.dtype)
        capsules = squash((weights[:, :, None] @ votes)[:, :, 0])
        return capsules if self.relu is None else self.relu(capsules).relu()

    def _votes(self, events: Tensor) -> Tensor:
        """What each event would make of each capsule."""
        if self.shared:
            return (events @ self.map)[:, None].expand(-1, self.interests, -1, -1)
        votes = torch.einsum("bnd,nde->bne", events, self.map)
        return votes.unflatten(2, (self.interests, -1)).transpose(1, 2)

    def _start(self, votes: Tensor) -> Tensor:
        """Routing logits before the first round, `(batch or 1, interests, length)`."""
        _, interests, length, _ = votes.shape
        start = torch.zeros(1, interests, length, device=votes.device)
        if not self.shared:
            return start
        if self.training:
            start = start.expand(len(votes), -1, -1).clone()
            return nn.init.trunc_normal_(start)
        # The same for everybody and at every call, so that a user's list is the user's alone.
        rng = torch.Generator(votes.device).manual_seed(0)
        return nn.init.trunc_normal_(start, generator=rng)


def squash(vectors: Tensor) -> Tensor:
    """`||s||^2 / (1 + ||s||^2) * s / ||s||` over the last dimension: lengths go to [0, 1)."""
    square = vectors.square().sum(-1, keepdim=True)
    return square / (1 + square) * vectors / (square + 1e-9).sqrt()


def route(votes: Tensor, there: Tensor, logits: Tensor, *, rounds: int) -> Tensor:
    """Routing by agreement: logits grow by how well each vote agrees with its capsule.

    Args:
        votes: `(batch, interests, length, dim)`.
        there: `(batch, length)`, bool.
        logits: Where to begin, `(batch or 1, interests, length)`.
        rounds: How often.

    Returns:
        The logits after that, `(batch, interests, length)`.
    """
    logits = logits.expand(len(votes), -1, -1)
    for _ in range(rounds):
        weights = _coupling(logits, there).to(votes.dtype)
        capsules = squash((weights[:, :, None] @ votes)[:, :, 0])
        logits = logits + (votes @ capsules[..., None])[..., 0]
    return logits


def _coupling(logits: Tensor, there: Tensor) -> Tensor:
    """Shares of each event among the capsules; events that are padding give nothing."""
    # Trap: over capsules, not over events.
    return logits.softmax(1) * there[:, None]


class MeanVector(nn.Module):
    """The mean of the events through a linear layer: a single vector."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, events: Tensor, there: Tensor) -> Tensor:
        """One vector, `(batch, 1, dim)`."""
        mean = events.sum(1, keepdim=True) / there.sum(1)[:, None, None]
        out: Tensor = self.linear(mean)
        return out


class RecurrentVector(nn.Module):
    """The state of a GRU after the last event: a single vector."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(dim, dim, batch_first=True)

    def forward(self, events: Tensor, there: Tensor) -> Tensor:
        """One vector, `(batch, 1, dim)`."""
        states, _ = self.recurrent(events)
        last = there.sum(1)[:, None, None] - 1
        out: Tensor = states.take_along_dim(last, dim=1)
        return out
