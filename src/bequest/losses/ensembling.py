"""Soft targets that the samples of a batch make for each other."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError


def affinities(vectors: Tensor, *, self_discount: float = 0.1) -> Tensor:
    """`softmax over rows of (V V^T - self_discount I)`: who listens to whom in a batch.

    Ji et al., "Complementary Calibration", IEEE TIP 2023. A sample's similarity with itself is
    lowered a little and stays, whereas Ge et al. (below) leave it out.

    Args:
        vectors: `(batch, dim)`, of length 1 for cosines.
        self_discount: How much the similarity of a sample with itself is lowered.

    Returns:
        `(batch, batch)`, rows sum to 1, in fp32.
    """
    vectors = vectors.float()
    itself = torch.eye(len(vectors), device=vectors.device)
    return (vectors @ vectors.T - self_discount * itself).softmax(1)


def ensembled_logits(
    logits: Tensor, vectors: Tensor, *, weight: float = 0.1, self_discount: float = 0.1
) -> Tensor:
    """`(1 - w) (I - w A)^-1 Z`: logits after endless propagation to similar samples of the batch.

    The limit of `T <- w A T + (1 - w) Z`, from Ge et al., "Self-distillation with Batch Knowledge
    Ensembling Improves ImageNet Classification", 2021, eq. 6. Each row is a weighted mean of the
    batch's logits: the weights sum to 1.

    Args:
        logits: Z, `(batch, classes)`.
        vectors: What similarities are of, `(batch, dim)`, of length 1.
        weight: w, what the others count, in [0, 1).
        self_discount: See `affinities`.

    Returns:
        `(batch, classes)`, fp32, without gradient: it is a target.

    Raises:
        InputError: When the shapes do not fit or the weight is out of range.
    """
    if logits.dim() != 2 or vectors.shape[:1] != logits.shape[:1] or not 0 <= weight < 1:
        raise InputError(
            f"logits {tuple(logits.shape)}, vectors {tuple(vectors.shape)}, weight {weight}: "
            "(batch, classes), (batch, dim) and a weight in [0, 1) are needed."
        )
    with torch.no_grad():
        mixing = weight * affinities(vectors, self_discount=self_discount)
        system = torch.eye(len(logits), device=logits.device) - mixing
        # Rows of `mixing` sum to w < 1, so the system is never singular: no check that would wait.
        solution, _ = torch.linalg.solve_ex(system, (1 - weight) * logits.float())
    return solution
