"""Random crops and flips of a whole batch at once, on its device."""

from __future__ import annotations

import torch
from torch import Tensor


def random_crop_flip(
    images: Tensor, rng: torch.Generator, *, padding: int = 4, flip: bool = True
) -> Tensor:
    """Zero-pads by `padding`, crops back to the old size at random, mirrors half of the images.

    Each image has its own offset and its own flip: one gather for the batch, no loop.

    Args:
        images: `(batch, channels, height, width)`, any type.
        rng: Decides offsets and flips.
        padding: Pixels on each side, at least 0.
        flip: Whether to mirror.

    Returns:
        A new tensor like `images`.
    """
    if padding == 0 and not flip:
        return images
    batch, _, height, width = images.shape
    device = images.device
    shifts = torch.randint(-padding, padding + 1, (2, batch, 1), generator=rng, device=device)
    rows = torch.arange(height, device=device) + shifts[0]
    columns = torch.arange(width, device=device) + shifts[1]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None, :
    ]
    if flip:
        mirrored = torch.rand(batch, 1, generator=rng, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
        inside = torch.where(mirrored[:, :, None], inside.flip(2), inside)
    index = torch.arange(batch, device=device)[:, None, None]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    # Index in channels-last order: each gathered element is then one run of all channels.
    cropped = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return (cropped * inside[..., None].to(images.dtype)).permute(0, 3, 1, 2)
