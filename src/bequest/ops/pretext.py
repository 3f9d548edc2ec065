"""Pretext tasks: changed images whose change is to be told, in balanced numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.ops.crops import cut_windows
from bequest.ops.rotations import quarter_turns, turned

_AREA = 0.665  # of the crop, whose area is drawn from .66 to .67 in the public code
_WINDOWS = ((_AREA, _AREA), (0.67**2, 1.0), (1.0, 1 / 1.32**2), (1.0, 1.0))
"""Squares of the windows' width and height by kind: square, upright, lying, whole."""


def balanced_labels(count: int, kinds: int, rng: torch.Generator) -> Tensor:
    """A random permutation of `0 .. count - 1`, modulo `kinds`.

    So each kind comes equally often, up to one, which independent draws would not give.

    Returns:
        `(count,)`, int64, on the generator's device.
    """
    if count < 1 or kinds < 1:
        raise InputError(f"count {count}, kinds {kinds}: both must be at least 1.")
    return torch.randperm(count, generator=rng, device=rng.device) % kinds


def cut_and_turned(
    images: Tensor, labels: Tensor, rng: torch.Generator, *, degrees: float = 90.0
) -> Tensor:
    """Cuts a window out of each image, enlarges it, and turns it, both by its label.

    `label % 4` says by how often the angle (0, 1, 2 or -1 times), `label // 4` the window: a square
    of two thirds of the area at a random place, the middle upright, the middle lying, the whole.
    With labels below 4 all windows are squares.

    Args:
        images: `(batch, channels, side, side)`, floating point.
        labels: `(batch,)`, int64, 0 .. 15.
        rng: Decides the places of the squares.
        degrees: The angle, counter-clockwise; 90 degrees make quarter turns, exactly.

    Returns:
        A new tensor like `images`, in fp32.

    Raises:
        InputError: When the images are not square or the lengths differ.
    """
    squares = torch.tensor(_WINDOWS, device=images.device)
    wide, high = squares.sqrt()[labels // 4].unbind(1)
    at = 2 * torch.rand(2, len(images), generator=rng, device=images.device) - 1
    at = at * (labels < 4)  # the others lie in the middle
    windows = cut_windows(images, at[0] * (1 - wide), at[1] * (1 - high), wide, high)
    if degrees == 90:
        return quarter_turns(windows, labels)
    times = torch.tensor((0.0, 1.0, 2.0, -1.0), device=images.device)
    return turned(windows, degrees * times[labels % 4])
