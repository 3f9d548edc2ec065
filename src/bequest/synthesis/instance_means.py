"""What a network sees in each single image: the channel means before its BatchNorm layers."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bequest.errors import InputError
from bequest.nn.inspection import batch_norm_layers


class InstanceMeans:
    """Keeps, of each forward pass, one feature vector an image, with its gradient graph.

    The vector joins the means over all positions of the inputs of the network's BatchNorm layers.
    Where these have more than `limit` channels together, every second, every third, ... layer
    counted from the last is taken, the fewest left out that bring the length under the limit.

    Args:
        network: Has BatchNorm layers, each called once a forward pass.
        limit: Largest length of the vector; the last layer is always taken.

    Raises:
        InputError: For a network without BatchNorm.
    """

    def __init__(self, network: nn.Module, *, limit: int = 4096) -> None:
        layers = list(batch_norm_layers(network).values())
        if not layers:
            raise InputError(
                f"{type(network).__name__} has no BatchNorm layer, and its instance features are "
                "the inputs of these: use a teacher with BatchNorm or a method that needs none."
            )
        stride = next(
            s
            for s in range(1, len(layers) + 1)
            if s == len(layers) or sum(map(_channels, layers[::-1][::s])) <= limit
        )
        self.layers = layers[::-1][::stride][::-1]
        self.length = sum(map(_channels, self.layers))
        self._means: dict[nn.Module, Tensor] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        self._handles = [layer.register_forward_pre_hook(self._keep) for layer in self.layers]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._means = {}

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        value: Tensor = inputs[0]
        positions = list(range(2, value.dim()))
        self._means[layer] = value.mean(positions, dtype=torch.float32) if positions else value

    @property
    def features(self) -> Tensor:
        """The vectors of the last forward pass, `(batch, length)` in fp32.

        Raises:
            InputError: When the network has not been called since the last time.
        """
        if len(self._means) < len(self.layers):
            raise InputError("the network was not called inside the with block.")
        means, self._means = self._means, {}
        return torch.cat([means[layer].float() for layer in self.layers], dim=1)


def _channels(layer: nn.Module) -> int:
    return len(layer.running_mean)  # type: ignore[arg-type]
