"""RKD: distances between the samples of a batch, and angles between three of them.

Wonpyo Park, Dongju Kim, Yan Lu, Minsu Cho, "Relational Knowledge Distillation", CVPR 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.losses.objectives.shapes import require_same_batch


def rkd(student: Tensor, teacher: Tensor, *, distance: float = 25.0, angle: float = 50.0) -> Tensor:
    """`distance * L_D + angle * L_A`, eq. 9. The dimensions of the two may differ.

    Memory is `batch^2 * dim` and `batch^3`.

    Args:
        student: `(batch, dim)`, of 3 samples or more.
        teacher: `(batch, dim)`; takes no gradient.
        distance: Of the distances, at least 0.
        angle: Of the angles, at least 0.

    Returns:
        A scalar, at least 0.

    Raises:
        InputError: When the batches differ.
    """
    require_same_batch(student, teacher, what="features", dims=2)
    student, teacher = student.float(), teacher.detach().float()
    terms = []
    if distance > 0:
        terms.append(distance * F.smooth_l1_loss(distances(student), distances(teacher)))
    if angle > 0:
        terms.append(angle * F.smooth_l1_loss(angles(student), angles(teacher)))
    return torch.stack(terms).sum() if terms else student.sum() * 0


def distances(features: Tensor) -> Tensor:
    """`|| f_i - f_j || / mu`, mu the mean over all `i != j` (eqs. 5, 6): `(batch, batch)`."""
    # By matrix products (the other mode) close samples would lose their digits.
    apart = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    count = len(features) * (len(features) - 1)
    return apart / (apart.sum() / count).clamp(min=1e-12)


def angles(features: Tensor) -> Tensor:
    """Cosine of the angle at i between j and k, eq. 8: `(batch, batch, batch)`.

    It is 0 where i is j or k.
    """
    edges = F.normalize(features[None] - features[:, None], dim=2)
    return torch.bmm(edges, edges.transpose(1, 2))
