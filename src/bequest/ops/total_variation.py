"""Total variation of images, and its proximal map.

Antonin Chambolle, "An Algorithm for Total Variation Minimization and Applications", Journal of
Mathematical Imaging and Vision 2004; the dual is solved as in Amir Beck, Marc Teboulle, "Fast
Gradient-Based Algorithms for Constrained Total Variation Image Denoising and Deblurring Problems",
IEEE Transactions on Image Processing 2009.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.ops.accelerated_gradient import accelerated_gradient


def differences(images: Tensor) -> Tensor:
    """To the pixel below and to the right, 0 at the border.

    Shapes:
        images: `(batch, 1, height, width)`; returns `(batch, 2, height, width)`.
    """
    down = F.pad(images[:, :, 1:] - images[:, :, :-1], (0, 0, 0, 1))
    right = F.pad(images[..., 1:] - images[..., :-1], (0, 1))
    return torch.cat([down, right], 1)


def differences_adjoint(field: Tensor) -> Tensor:
    """The exact adjoint of `differences`: `(batch, 2, height, width)` to `(batch, 1, ...)`."""
    down, right = field[:, :1, :-1], field[:, 1:, :, :-1]
    return (F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1)) + F.pad(right, (1, 0))) - F.pad(
        right, (0, 1)
    )


def total_variation(images: Tensor) -> Tensor:
    """Isotropic: the sum over pixels of the length of `differences`, `(batch,)`."""
    return differences(images).norm(dim=1).flatten(1).sum(1)


def total_variation_prox(
    images: Tensor,
    weight: float,
    *,
    nonnegative: bool = False,
    start: Tensor | None = None,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
) -> tuple[Tensor, Tensor]:
    """`argmin_x 1/2 || x - images ||^2 + weight * TV(x)`, over `x >= 0` where asked.

    Solved in the dual: over fields p of vectors no longer than 1, the minimiser is
    `x = images - weight D^T p`, made nonnegative.

    Args:
        images: `(batch, 1, height, width)`.
        weight: Above 0.
        nonnegative: Whether x must not be below 0.
        start: A field to start from, as returned for similar images.
        tolerance: Of the relative change of the field.
        max_steps: Of the dual descent.

    Returns:
        The minimisers, and the dual field `(batch, 2, height, width)`.
    """

    def primal(field: Tensor) -> Tensor:
        x = images - weight * differences_adjoint(field)
        return x.clamp(min=0) if nonnegative else x

    field, _ = accelerated_gradient(
        lambda p: -differences(primal(p)),
        images.new_zeros(len(images), 2, *images.shape[2:]) if start is None else start,
        step_size=1 / (8 * weight),  # || D ||^2 < 8
        proximal=lambda p: p / p.norm(dim=1, keepdim=True).clamp(min=1),
        tolerance=tolerance,
        max_steps=max_steps,
    )
    return primal(field), field
