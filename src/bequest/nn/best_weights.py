"""The weights that were best on held-back data so far: what early stopping goes back to."""

from __future__ import annotations

from typing import Any

from torch import nn


class BestWeights:
    """Remembers a network's weights whenever a figure rises; part of a checkpoint.

    Args:
        network: Whose weights are kept. They are copied when `offer` says that they are better.
        latest: Whether of equal figures the last counts; otherwise the first.
    """

    def __init__(self, network: nn.Module, *, latest: bool = False) -> None:
        self.value = -float("inf")
        self.waited = 0
        """Offers since the best one."""
        self._network = network
        self._latest = latest
        self._weights: dict[str, Any] = {}

    def offer(self, value: float) -> None:
        """Says how good the weights are now; larger is better."""
        if value > self.value or (self._latest and value == self.value):
            self.value, self.waited = value, 0
            self._weights = {k: v.clone() for k, v in self._network.state_dict().items()}
        else:
            self.waited += 1

    def restore(self) -> None:
        """Gives the network its best weights back; nothing to do before the first offer."""
        if self._weights:
            self._network.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {"value": str(self.value), "waited": self.waited, "weights": dict(self._weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.value, self.waited = float(state["value"]), state["waited"]
        device = next(self._network.parameters()).device
        self._weights = {name: value.to(device) for name, value in state["weights"].items()}
