"""Drawing by priority, with importance weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bequest.errors import InputError


class PrioritySampler:
    """Proportional prioritised sampling (Schaul et al., ICLR 2016).

    `P(i) = (priority_i + eps)^alpha / sum_j (priority_j + eps)^alpha`, and the importance weight
    that undoes the bias, `w(i) = (N P(i))^-beta`.

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

    def enter(self, places: Tensor) -> None:
        """New entries get the largest current priority (1 at first), so that each is drawn soon."""
        top = self.priorities[: self.size].max() if self.size else self.priorities.new_ones(())
        self.priorities[places] = top.clamp(min=self.eps)
        self.size = min(max(self.size, int(places.max()) + 1), len(self.priorities))

    def probabilities(self) -> Tensor:
        """P of every stored entry, `(size,)`, summing to 1."""
        mass = (self.priorities[: self.size].abs() + self.eps) ** self.alpha
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
        probabilities = self.probabilities()
        places = torch.multinomial(probabilities, count, replacement=True, generator=rng)
        return places, self.weights(probabilities[places])

    def weights(self, probabilities: Tensor) -> Tensor:
        """`(N P)^-beta`."""
        return (self.size * probabilities) ** -self.beta

    def update(self, places: Tensor, priorities: Tensor) -> None:
        """Sets the priorities of the entries that were drawn."""
        self.priorities[places] = priorities.detach().to(self.priorities.dtype)

    def effective_size(self) -> Tensor:
        """`1 / sum P^2`: how many equally likely entries would draw as unevenly."""
        return 1 / self.probabilities().square().sum()

    def state_dict(self) -> dict[str, Any]:
        """Priorities, for a checkpoint."""
        return {"priorities": self.priorities, "size": self.size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.priorities.copy_(state["priorities"])
        self.size = state["size"]
