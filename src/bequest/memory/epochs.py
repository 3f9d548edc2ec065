"""Passes over a part of a bank that changes from pass to pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bequest.errors import InputError


class EpochSampler:
    """Hands out the places of an epoch in random order, each once, in batches of one size.

    Args:
        count: Places there are, at least 1.
        device: Of the places.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        if count < 1:
            raise InputError(f"count is {count}; it must be at least 1.")
        self.count = count
        self._order = torch.zeros(0, dtype=torch.int64, device=device)
        self._next = 0

    def is_over(self, batch: int) -> bool:
        """Whether fewer than `batch` places of this epoch are left; true before the first."""
        return len(self._order) - self._next < batch

    def begin(self, places: Tensor | None, rng: torch.Generator) -> None:
        """A new epoch over `places` `(kept,)` int64; None takes all."""
        kept = self.count if places is None else len(places)
        shuffled = torch.randperm(kept, generator=rng, device=self._order.device)
        self._order = shuffled if places is None else places[shuffled]
        self._next = 0

    def next(self, batch: int) -> Tensor:
        """The next `batch` places, `(batch,)`.

        Raises:
            InputError: When the epoch is over.
        """
        if self.is_over(batch):
            raise InputError(f"Fewer than {batch} places are left: begin another epoch.")
        self._next += batch
        return self._order[self._next - batch : self._next]

    def draw(self, batch: int, rng: torch.Generator) -> Tensor:
        """The next `batch` places `(batch,)`, of a new epoch over all where this one is over."""
        if self.is_over(batch):
            self.begin(None, rng)
        return self.next(batch)

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch stands, for a checkpoint."""
        return {"order": self._order, "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._order = state["order"].to(self._order.device)
        self._next = int(state["next"])
