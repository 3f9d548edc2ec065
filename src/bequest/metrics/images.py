"""How close images are to the truth: PSNR and SSIM, one value an image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError

_SIDE, _WIDTH = 11, 1.5
_LEVEL, _CONTRAST = 0.01**2, 0.03**2


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, for a range of 1.

    Shapes:
        images, truth: `(batch, channels, height, width)` in [0, 1]; returns `(batch,)`.

    Raises:
        InputError: When shapes differ.
    """
    _check(images, truth)
    return -10 * (images - truth).square().flatten(1).mean(1).clamp(min=1e-20).log10()


def ssim(images: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity, for a range of 1: Gaussian window of 11 pixels and deviation 1.5.

    Zhou Wang and others, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", IEEE Transactions on Image Processing 2004. Windows lie inside the image.

    Shapes:
        images, truth: `(batch, channels, height, width)` in [0, 1], 11 pixels or more a side;
        returns `(batch,)`, at most 1.

    Raises:
        InputError: When shapes differ or images are smaller than the window.
    """
    _check(images, truth)
    if min(images.shape[2:]) < _SIDE:
        raise InputError(f"SSIM needs {_SIDE} pixels a side, not {tuple(images.shape[2:])}.")
    offsets = torch.arange(_SIDE, device=images.device, dtype=images.dtype) - _SIDE // 2
    window = torch.exp(-(offsets**2) / (2 * _WIDTH**2))
    window = window / window.sum()
    count = images.shape[1]

    def mean(values: Tensor) -> Tensor:
        values = F.conv2d(values, window.view(1, 1, -1, 1).expand(count, 1, -1, 1), groups=count)
        return F.conv2d(values, window.view(1, 1, 1, -1).expand(count, 1, 1, -1), groups=count)

    mean_x, mean_y = mean(images), mean(truth)
    var_x, var_y = mean(images**2) - mean_x**2, mean(truth**2) - mean_y**2
    covariance = mean(images * truth) - mean_x * mean_y
    level = (2 * mean_x * mean_y + _LEVEL) / (mean_x**2 + mean_y**2 + _LEVEL)
    structure = (2 * covariance + _CONTRAST) / (var_x + var_y + _CONTRAST)
    return (level * structure).flatten(1).mean(1)


def _check(images: Tensor, truth: Tensor) -> None:
    if images.shape != truth.shape or images.ndim != 4:
        raise InputError(
            f"images are {tuple(images.shape)}, the truth {tuple(truth.shape)}: both must be "
            "(batch, channels, height, width) of one shape."
        )
