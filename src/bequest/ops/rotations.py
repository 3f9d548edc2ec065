"""Quarter turns of a batch of images, each image by its own."""

from __future__ import annotations

import torch
from torch import Tensor

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
