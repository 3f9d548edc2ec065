"""A cost for each pair from the pair's features: a small perceptron."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PairCosts(nn.Module):
    """Linear, ReLU, Linear, ReLU, Linear, sigmoid, for each pair by itself.

    Args:
        features: How many a pair has.
        width: Of the two hidden layers.

    Shapes:
        features: `(..., features)`; the costs: `(...)` in (0, 1).
    """

    def __init__(self, features: int, *, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
            nn.Linear(width, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """The cost of each pair."""
        return torch.sigmoid(self.layers(features))[..., 0]
