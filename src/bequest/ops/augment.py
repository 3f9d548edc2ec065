"""Random crops and flips of a whole batch at once, on its device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.ops.hashed_draws import hashed_uniform


def random_crop_flip(
    images: Tensor, rng: torch.Generator, *, padding: int = 4, flip: bool = True
) -> Tensor:
    """Zero-pads by `padding`, crops back to the old size at random, mirrors half of the images.

    Each image has its own offset and its own flip: one gather for the batch, no loop.

    Args:
        images: `(batch, channels, height, width)`, any type; gradients flow through.
        rng: Decides offsets and flips.
        padding: Pixels on each side, at least 0.
        flip: Whether to mirror.

    Returns:
        A new tensor like `images`, channels last in memory.
    """
    if padding == 0 and not flip:
        return images
    batch = len(images)
    shifts = torch.randint(0, 2 * padding + 1, (2, batch), generator=rng, device=images.device)
    mirrored = None
    if flip:
        mirrored = torch.rand(batch, generator=rng, device=images.device) < 0.5
    return crop_flip(images, shifts[0], shifts[1], mirrored, padding=padding)


def seeded_crop_flip(
    images: Tensor, places: Tensor, *, seed: int, padding: int = 4, flip: bool = True
) -> Tensor:
    """The same, decided by each sample's place and the seed alone, whatever else is in the batch.

    So what a network gave for a sample under a seed can be kept and used again.

    Args:
        images: `(batch, channels, height, width)`, any type.
        places: `(batch,)`, int64: which samples these are.
        seed: Which augmentation of them.
        padding: Pixels on each side, at least 0.
        flip: Whether to mirror half of the images.

    Returns:
        A new tensor like `images`, channels last in memory.
    """
    if padding == 0 and not flip:
        return images
    sides = 2 * padding + 1
    top, left = ((hashed_uniform(places, seed, n) * sides).long() for n in (0, 1))
    mirrored = hashed_uniform(places, seed, 2) < 0.5 if flip else None
    return crop_flip(images, top, left, mirrored, padding=padding)


def crop_flip(
    images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor | None, *, padding: int
) -> Tensor:
    """Zero-pads by `padding`, crops at the given offsets `(batch,)`, mirrors where `mirrored`."""
    pads = (0, 0, padding, padding, padding, padding)
    padded = F.pad(images.permute(0, 2, 3, 1), pads).contiguous()
    needs_gradient = images.requires_grad and torch.is_grad_enabled()
    crop = _crop_pixels if needs_gradient else _crop_rows
    cropped = crop(padded, top, left, images.shape[2], images.shape[3])
    if mirrored is not None:
        cropped = torch.where(mirrored[:, None, None, None], cropped.flip(2), cropped)
    return cropped.permute(0, 3, 1, 2)


def _crop_rows(padded: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Crops of `(batch, rows, columns, channels)`: a row of a crop is one run of memory.

    The runs are a strided view whose elements overlap, so this way has no cheap gradient.
    """
    batch, rows, columns, channels = padded.shape
    row = torch.arange(height, device=padded.device) + top[:, None]
    image = torch.arange(batch, device=padded.device)[:, None]
    starts = (image * rows + row) * columns + left[:, None]
    runs = padded.as_strided(
        (batch * rows * columns - width + 1, width * channels), (channels, 1)
    ).index_select(0, starts.flatten())
    return runs.view(batch, height, width, channels)


def _crop_pixels(padded: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """The same crops by one gather of pixels, whose gradient is cheap."""
    batch = torch.arange(len(padded), device=padded.device)[:, None, None]
    row = (torch.arange(height, device=padded.device) + top[:, None])[:, :, None]
    column = (torch.arange(width, device=padded.device) + left[:, None])[:, None, :]
    return padded[batch, row, column]
