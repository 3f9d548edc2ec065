"""Networks that take images in [0, 1], whatever they were trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from bequest.errors import InputError


class Normalized(nn.Module):
    """Subtracts the mean, divides by the standard deviation, then calls the network.

    The constants are buffers that are not saved: the ``state_dict`` holds the network's own names
    with the prefix ``network.``, which the reader of weights takes off again.

    Args:
        network: takes normalised images ``(batch, channels, height, width)``.
        mean: one finite value a channel, or one for all channels.
        std: one positive value a channel, or one for all channels.

    Raises:
        InputError: for lengths that do not agree, values that are not finite, or ``std`` <= 0.

    Example:
        >>> Normalized(nn.Identity(), [0.5], [0.25])(torch.ones(1, 1, 1, 1)).item()
        2.0
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        means, deviations = _checked(mean, name="mean"), _checked(std, name="std")
        if len(means) != len(deviations) and 1 not in (len(means), len(deviations)):
            raise InputError(
                f"mean has {len(means)} values and std has {len(deviations)}: "
                "give one a channel for both, or a single one for all channels."
            )
        if min(deviations) <= 0:
            raise InputError(f"std must be positive, but holds {min(deviations)}.")
        self.network = network
        self.channels = max(len(means), len(deviations))
        parameter = next(network.parameters(), None)
        device = None if parameter is None else parameter.device
        for name, values in (("mean", means), ("std", deviations)):
            buffer = torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    @property
    def unwrapped(self) -> nn.Module:
        """The network itself, which takes normalised images."""
        return self.network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(batch, channels, height, width)`` in [0, 1] to what the network gives.

        Raises:
            InputError: if the images have another number of channels than the constants.
        """
        if self.channels > 1 and images.shape[1] != self.channels:
            raise InputError(
                f"Images have {images.shape[1]} channels, but the normalisation has "
                f"{self.channels}: give mean and std for each channel of your images."
            )
        return self.network((images - self.mean) / self.std)

    def constants(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation, to put around another network."""
        return self.mean.flatten().tolist(), self.std.flatten().tolist()

    def extra_repr(self) -> str:
        """The constants, as they were given."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


def _checked(values: Sequence[float], *, name: str) -> list[float]:
    if isinstance(values, str):
        raise InputError(f"{name} must be a list of numbers, not the text '{values}'.")
    numbers = [float(value) for value in values]
    if not numbers or not all(math.isfinite(number) for number in numbers):
        raise InputError(f"{name} must hold one finite number a channel, not {numbers}.")
    return numbers
