"""What a tabular method leaves: a table of action values and the numbers it was learnt with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class QTable(nn.Module):
    """Action values of several finite decision processes, and the dual of each pair.

    Shapes:
        q: `(models, states, actions)`.
        dual: The same: the scalar dual of each pair; zero where none was learnt.
        penalty: The same, or `(1, 1, 1)` where one price holds for all.

    Example:
        >>> QTable(torch.tensor([[[0.0, 1.0], [2.0, 0.0]]])).greedy()
        tensor([[1, 0]])
    """

    def __init__(
        self, q: Tensor, *, dual: Tensor | None = None, penalty: Tensor | None = None
    ) -> None:
        super().__init__()
        self.q = nn.Parameter(q, requires_grad=False)
        self.register_buffer("dual", torch.zeros_like(q) if dual is None else dual)
        self.register_buffer("penalty", q.new_ones(1, 1, 1) if penalty is None else penalty)

    def forward(self, states: Tensor) -> Tensor:
        """Action values `(models, number, actions)` of states `(models, number)`, int64."""
        return self.q.gather(1, states[..., None].expand(-1, -1, self.q.shape[-1]))

    def greedy(self) -> Tensor:
        """The best action of each state, `(models, states)`; the first one of equals."""
        return self.q.argmax(-1)

    def values(self) -> Tensor:
        """The value of each state, `(models, states)`."""
        return self.q.amax(-1)
