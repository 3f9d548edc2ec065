"""Turns of a batch of images, each image by its own: quarter turns, or any angle."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError


def quarter_turns(images: Tensor, turns: Tensor) -> Tensor:
    """Turns each image counter-clockwise by its number of quarter turns.

    Args:
        images: `(batch, channels, side, side)`.
        turns: `(batch,)`, integers; taken modulo 4.

    Returns:
        A new tensor like `images`.

    Raises:
        InputError: When the images are not square or the lengths differ.
    """
    if images.dim() != 4 or images.shape[2] != images.shape[3] or len(turns) != len(images):
        raise InputError(
            f"images {tuple(images.shape)}, turns {tuple(turns.shape)}: square images (batch, "
            "channels, side, side) and one number of turns for each are needed."
        )
    turns = turns[:, None, None, None] % 4
    turned = images
    for k in (1, 2, 3):
        turned = torch.where(turns == k, images.rot90(k, (2, 3)), turned)
    return turned


def all_quarter_turns(images: Tensor) -> Tensor:
    """The four turns of each image side by side.

    Args:
        images: `(batch, channels, side, side)`.

    Returns:
        `(4 batch, channels, side, side)`: row `4 i + k` is image `i` after `k` quarter turns.
    """
    turns = torch.arange(4, device=images.device).repeat(len(images))
    return quarter_turns(images.repeat_interleave(4, 0), turns)


def turned(images: Tensor, degrees: Tensor) -> Tensor:
    """Turns each image counter-clockwise by any angle around its middle.

    Convention: bilinear; what comes from beyond the border is 0.

    Args:
        images: `(batch, channels, height, width)`, floating point.
        degrees: `(batch,)`.

    Returns:
        A new tensor like `images`.

    Raises:
        InputError: When the lengths differ.
    """
    if images.dim() != 4 or degrees.shape != images.shape[:1]:
        raise InputError(
            f"images {tuple(images.shape)}, degrees {tuple(degrees.shape)}: images (batch, "
            "channels, height, width) and one angle for each are needed."
        )
    height, width = images.shape[2:]
    angle = torch.deg2rad(degrees.to(images.dtype))
    sine, cosine, zero = angle.sin(), angle.cos(), torch.zeros_like(angle)
    # Coordinates of both axes go from -1 to 1, whatever the sides are.
    rows = torch.stack((cosine, -sine * height / width, zero), dim=1)
    columns = torch.stack((sine * width / height, cosine, zero), dim=1)
    grid = F.affine_grid(
        torch.stack((rows, columns), dim=1), list(images.shape), align_corners=False
    )
    return F.grid_sample(images, grid, align_corners=False)


def four_turns(images: Tensor, *, degrees: float = 90.0) -> Tensor:
    """Each image beside itself turned by once, twice and minus once the angle.

    At 90 degrees these are the four quarter turns, exactly. Smaller angles keep what a quarter
    turn would change into something else, such as digits.

    Args:
        images: `(batch, channels, height, width)`, floating point; square for quarter turns.
        degrees: The angle, counter-clockwise.

    Returns:
        `(4 batch, channels, height, width)`: row `4 i` is image `i` as it is.
    """
    if degrees == 90:
        return all_quarter_turns(images)
    angles = degrees * torch.tensor((1.0, 2.0, -1.0), device=images.device).repeat(len(images))
    others = turned(images.repeat_interleave(3, 0), angles).unflatten(0, (-1, 3))
    return torch.cat((images[:, None], others), dim=1).flatten(0, 1)
