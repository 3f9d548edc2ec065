"""Zoomed crops of a whole batch at once, on its device, with a gradient to the images."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError


def random_resized_crop(
    images: Tensor,
    rng: torch.Generator,
    *,
    smallest: float = 0.25,
    aspect: float = 4 / 3,
    flip: bool = True,
) -> Tensor:
    """Cuts a random rectangle out of each image and enlarges it to the old size, bilinearly.

    The area is uniform in [smallest, 1] of the image, the aspect ratio log-uniform in
    [1 / aspect, aspect], the place uniform among those inside.

    Differs: usual implementations draw again when a rectangle does not fit; here the side that
    is too long is cut to the image, so that one draw for the batch is enough.

    Args:
        images: `(batch, channels, height, width)`, floating point.
        rng: Decides areas, ratios, places and flips.
        smallest: Smallest share of the area, in (0, 1].
        aspect: Largest aspect ratio, at least 1.
        flip: Whether to mirror half of the images.

    Returns:
        A tensor like `images`, in fp32.

    Raises:
        InputError: For `smallest` or `aspect` out of range.
    """
    if not 0 < smallest <= 1 or aspect < 1:
        raise InputError(
            f"smallest {smallest}, aspect {aspect}: the smallest area must be in (0, 1] and the "
            "aspect ratio at least 1."
        )
    batch, device = len(images), images.device
    draws = torch.rand(5, batch, generator=rng, device=device)
    area = smallest + (1 - smallest) * draws[0]
    ratio = torch.exp((2 * draws[1] - 1) * math.log(aspect))
    wide = (area * ratio).sqrt().clamp(max=1)
    high = (area / ratio).sqrt().clamp(max=1)
    # In the coordinates of grid_sample the image spans [-1, 1].
    right = (2 * draws[2] - 1) * (1 - wide)
    down = (2 * draws[3] - 1) * (1 - high)
    if flip:
        wide = torch.where(draws[4] < 0.5, -wide, wide)
    return cut_windows(images, right, down, wide, high)


def cut_windows(images: Tensor, right: Tensor, down: Tensor, wide: Tensor, high: Tensor) -> Tensor:
    """Cuts a window out of each image and enlarges it to the old size, bilinearly.

    Args:
        images: `(batch, channels, height, width)`, floating point.
        right: Centre of each window `(batch,)`; the image spans [-1, 1].
        down: The same from top to bottom.
        wide: Width of each window as a share of the image's; negative mirrors.
        high: The same of the height.

    Returns:
        A tensor like `images`, in fp32.
    """
    batch, _, height, width = images.shape
    columns = wide[:, None] * _centres(width, images.device) + right[:, None]
    rows = high[:, None] * _centres(height, images.device) + down[:, None]
    grid = torch.stack(
        (
            columns[:, None, :].expand(batch, height, width),
            rows[:, :, None].expand(batch, height, width),
        ),
        dim=-1,
    )
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def _centres(count: int, device: torch.device) -> Tensor:
    """The centres of `count` pixels that together span [-1, 1]."""
    return (torch.arange(count, device=device) * 2 + 1) / count - 1
