"""Matrices made orthogonal by Gram-Schmidt on their rows, batched and differentiable."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError

SHORTEST_ROW = 1e-4
"""Below it float32 has too few digits left for a direction; gradients grow as its inverse."""


def orthogonal_rows(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """What Gram-Schmidt makes of the rows, in order, each of length 1.

    Computed as the transposed QR decomposition with a positive diagonal of R, which is the same
    matrix to rounding, stays orthogonal where plain Gram-Schmidt drifts, and costs less.

    Args:
        matrices: `(..., n, n)`, floating.

    Returns:
        The orthogonal matrices, and `(..., n)`: how long each row was after the rows above it were
        projected out, before it got length 1. Where one of them is 0 the matrix is singular and
        its orthogonal one is not determined: see `repair_rank`.

    Raises:
        InputError: When the matrices are not square.
    """
    if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2]:
        raise InputError(f"matrices must be (..., n, n), not {tuple(matrices.shape)}.")
    orthogonal, triangular = torch.linalg.qr(matrices.mT)
    diagonal = triangular.diagonal(dim1=-2, dim2=-1)
    signs = torch.where(diagonal < 0, -1.0, 1.0).to(matrices.dtype)
    return (orthogonal * signs.unsqueeze(-2)).mT, diagonal.detach().abs()


@torch.no_grad()
def repair_rank(matrices: Tensor, *, shortest: float = SHORTEST_ROW) -> Tensor:
    """Adds a multiple of the identity to singular matrices until they are singular no more.

    Args:
        matrices: `(..., n, n)`, finite.
        shortest: A matrix counts as singular when one of the lengths that `orthogonal_rows` gives
            is below it. Determinants would not tell: they shrink with n.

    Returns:
        A copy in which the others are as they were. The multiple starts at 1e-6 and doubles.
    """
    repaired, shift = matrices.clone(), 1e-6
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    while (singular := (orthogonal_rows(repaired)[1] < shortest).any(-1)).any():
        repaired[singular] = matrices[singular] + shift * identity
        shift *= 2
    return repaired
