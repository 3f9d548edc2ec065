"""The largest eigenvalue of a symmetric map that is given as a function."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def power_iteration(
    apply: Callable[[Tensor], Tensor], start: Tensor, *, steps: int
) -> tuple[Tensor, Tensor]:
    """The norm of a positive semi-definite map by repeated application.

    Gradients flow through the last application alone, as in spectral normalisation, so that the
    norm can be part of a loss at the price of one more application.

    Args:
        apply: The map; linear, symmetric, positive semi-definite.
        start: Any tensor that the map takes, not zero.
        steps: Applications, at least 1.

    Returns:
        The norm, a scalar, approached from below; and the vector to go on from, without gradient
        (the old one where the map is zero).
    """
    vector = start / start.norm()
    with torch.no_grad():
        for _ in range(steps - 1):
            image = apply(vector)
            vector = torch.where(image.norm() > 0, image / image.norm().clamp(min=1e-30), vector)
    image = apply(vector)
    norm = torch.linalg.vector_norm(image)
    direction = image.detach() / norm.detach().clamp(min=1e-30)
    return norm, torch.where(norm.detach() > 0, direction, vector)
