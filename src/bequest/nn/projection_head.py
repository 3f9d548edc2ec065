"""Small perceptrons behind features, for tasks beside classification."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ProjectionHead(nn.Module):
    """Linear layers with BatchNorm and ReLU between them, as wide as the features.

    Args:
        features: Length of the input.
        outputs: Length of the output.
        hidden_layers: How many come before the last, which is linear alone.
        unit: Whether the output is brought to length 1.
    """

    def __init__(
        self, features: int, outputs: int, *, hidden_layers: int = 2, unit: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(hidden_layers):
            layers += [nn.Linear(features, features), nn.BatchNorm1d(features), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(features, outputs))
        self.unit = unit

    def forward(self, features: Tensor) -> Tensor:
        """`(batch, features)` to `(batch, outputs)`."""
        out = self.layers(features)
        return F.normalize(out, dim=1) if self.unit else out
