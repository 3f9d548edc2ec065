"""Random brightness, contrast and saturation of a whole batch at once, on its device."""

from __future__ import annotations

import torch
from torch import Tensor

_GREY = (0.299, 0.587, 0.114)


def color_jitter(images: Tensor, rng: torch.Generator, *, strength: float = 0.4) -> Tensor:
    """Brightness, then contrast, then saturation, each by a factor of its own for each image.

    Factors are uniform in [1 - strength, 1 + strength]. An image is mixed with black, with the mean
    of its grey values, with its grey version; what leaves [0, 1] is cut off. Images of one channel
    have no saturation.

    Differs: usual implementations draw the order of the three as well.

    Args:
        images: `(batch, 1 or 3, height, width)` in [0, 1].
        rng: Decides the factors.
        strength: At least 0; 0 changes nothing.

    Returns:
        A new tensor like `images`.
    """
    if strength == 0:
        return images
    draws = torch.rand(3, len(images), 1, 1, 1, generator=rng, device=images.device)
    brightness, contrast, saturation = (1 + strength * (2 * draws - 1)).clamp(min=0)
    images = (images * brightness).clamp(0, 1)
    images = images.lerp(_grey(images).mean((2, 3), keepdim=True), 1 - contrast).clamp(0, 1)
    if images.shape[1] == 1:
        return images
    return images.lerp(_grey(images), 1 - saturation).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    """`(batch, 1, height, width)`."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(_GREY, dtype=images.dtype, device=images.device)
    return (images * weights[:, None, None]).sum(1, keepdim=True)
