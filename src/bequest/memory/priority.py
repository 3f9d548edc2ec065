"""Drawing by priority, with importance weights, at a cost that hardly grows with the memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bequest.errors import InputError

_BLOCK = 64
"""Entries a block: a draw scans all sums of blocks once, and one block for each place drawn."""


class PrioritySampler:
    """Proportional prioritised sampling (Schaul et al., ICLR 2016).

    `P(i) = (priority_i + eps)^alpha / sum_j (priority_j + eps)^alpha`, and the importance weight
    that undoes the bias, `w(i) = (N P(i))^-beta`.

    The powers are kept beside the priorities, with their sum for each block of entries. A draw
    first chooses a block, then an entry in it. A write sums the blocks it touched anew instead of
    adding a difference, so that no error builds up.

    Args:
        capacity: Largest number of entries.
        alpha: How strongly priorities count; 0 draws uniformly.
        beta: How much of the bias the weights undo, in [0, 1].
        eps: Keeps every entry reachable, above 0.
        device: Where priorities live.
    """

    def __init__(
        self,
        capacity: int,
        *,
        alpha: float = 1.0,
        beta: float = 0.4,
        eps: float = 1e-3,
        device: torch.device | str = "cpu",
    ) -> None:
        if alpha < 0 or not 0 <= beta <= 1 or eps <= 0:
            raise InputError(
                f"alpha {alpha}, beta {beta}, eps {eps}: alpha must be at least 0, beta in "
                "[0, 1] and eps above 0."
            )
        self.alpha, self.beta, self.eps = alpha, beta, eps
        self.priorities = torch.zeros(capacity, device=device)
        self.size = 0
        blocks = -(-capacity // _BLOCK)
        self._masses = torch.zeros(blocks, _BLOCK, device=device)  # 0 where nothing is stored
        self._sums = torch.zeros(blocks, dtype=torch.float64, device=device)

    def enter(self, places: Tensor) -> None:
        """New entries get the largest current priority (1 at first), so that each is drawn soon."""
        top = self.priorities[: self.size].max() if self.size else self.priorities.new_ones(())
        self.size = min(max(self.size, int(places.max()) + 1), len(self.priorities))
        self._write(places, top.clamp(min=self.eps).expand(len(places)))

    def probabilities(self) -> Tensor:
        """P of every stored entry, `(size,)`, summing to 1."""
        mass = self._masses.view(-1)[: self.size]
        return mass / mass.sum()

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws `count` places with replacement.

        Returns:
            Places `(count,)` int64 and their importance weights `(count,)`, not normalised.

        Raises:
            InputError: When nothing is stored.
        """
        if self.size == 0:
            raise InputError("there is nothing to draw from: no entry was added.")
        device = self.priorities.device
        at = torch.rand(2, count, dtype=torch.float64, generator=rng, device=device)
        # The first entry whose running sum lies above the point: never one without mass.
        reached = self._sums.cumsum(0)
        total = reached[-1]
        block = torch.searchsorted(reached, at[0] * total, right=True)
        reached = self._masses.index_select(0, block).cumsum(1, dtype=torch.float64)
        point = at[1, :, None] * reached[:, -1:]
        places = block * _BLOCK + torch.searchsorted(reached, point, right=True)[:, 0]
        places = places.clamp_(max=self.size - 1)  # parallel sums need not rise everywhere
        return places, self.weights((self._masses.view(-1)[places] / total).float())

    def weights(self, probabilities: Tensor) -> Tensor:
        """`(N P)^-beta`."""
        return (self.size * probabilities) ** -self.beta

    def update(self, places: Tensor, priorities: Tensor) -> None:
        """Sets the priorities of the entries that were drawn."""
        self._write(places, priorities.detach().to(self.priorities.dtype))

    def _write(self, places: Tensor, priorities: Tensor) -> None:
        self.priorities[places] = priorities
        # Read back: of several values for one place only one was kept.
        mass = (self.priorities[places].abs() + self.eps) ** self.alpha
        self._masses.view(-1)[places] = mass
        touched = places // _BLOCK
        self._sums[touched] = self._masses.index_select(0, touched).sum(1, dtype=torch.float64)

    def effective_size(self) -> Tensor:
        """`1 / sum P^2`: how many equally likely entries would draw as unevenly."""
        return 1 / self.probabilities().square().sum()

    def state_dict(self) -> dict[str, Any]:
        """Priorities and what was computed from them, for a checkpoint."""
        # Computed anew in another order, masses and sums might differ in their last bit.
        return {
            "priorities": self.priorities,
            "masses": self._masses,
            "sums": self._sums,
            "size": self.size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.priorities.copy_(state["priorities"])
        self._masses.copy_(state["masses"])
        self._sums.copy_(state["sums"])
        self.size = state["size"]
