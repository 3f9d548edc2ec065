"""Correlation congruence: the kernel matrix of a batch.

Baoyun Peng, Xiao Jin, Jiaheng Liu, Shunfeng Zhou, Yichao Wu, Yu Liu, Dongsheng Li, Zhaoning Zhang,
"Correlation Congruence for Knowledge Distillation", ICCV 2019.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.losses.objectives.shapes import require_same_batch


def correlation_congruence(
    student: Tensor, teacher: Tensor, *, gamma: float = 0.4, order: int = 2
) -> Tensor:
    """`1 / n^2 sum_ij (K(s_i, s_j) - K(t_i, t_j))^2`, eq. 7, K a Gaussian kernel.

    Of features of length 1 the kernel is `exp(-2 gamma) exp(2 gamma x.y)`; it is taken to the
    given order of its Taylor series, eq. 11.

    Args:
        student: `(batch, dim)`.
        teacher: `(batch, dim)`, of any dim; takes no gradient.
        gamma: Of the kernel, above 0; published 0.4.
        order: P, at least 1; published 2.

    Returns:
        A scalar, at least 0.

    Raises:
        InputError: When the batches differ.
    """
    require_same_batch(student, teacher, what="features", dims=2)
    ours, theirs = (
        gaussian_kernel(f, gamma=gamma, order=order) for f in (student, teacher.detach())
    )
    return F.mse_loss(ours, theirs)


def gaussian_kernel(features: Tensor, *, gamma: float, order: int) -> Tensor:
    """`sum_p exp(-2 gamma) (2 gamma)^p / p! (x_i . x_j)^p`, p = 0 .. order: `(batch, batch)`."""
    rows = F.normalize(features.float(), dim=1)
    cosines = rows @ rows.T
    # Horner's scheme, from the highest power down.
    total = torch.zeros_like(cosines)
    for power in range(order, -1, -1):
        total = total * cosines + (2 * gamma) ** power / math.factorial(power)
    return math.exp(-2 * gamma) * total
