"""DIST: relations between classes and between samples instead of probabilities.

Tao Huang, Shan You, Fei Wang, Chen Qian, Chang Xu, "Knowledge Distillation from A Stronger
Teacher", NeurIPS 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.losses.objectives.shapes import require_same_shape


def dist(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    inter: float = 1.0,
    intra: float = 1.0,
    temperature: float = 4.0,
) -> Tensor:
    """`T^2 ( inter * mean_i d(p_s[i], p_t[i]) + intra * mean_c d(p_s[:, c], p_t[:, c]) )`.

    `d = 1 - Pearson's correlation` (eq. 6), over the classes of a sample (inter, eq. 8) and over
    the samples of a class (intra, eq. 9).

    Args:
        student_logits: `(batch, classes)`, of 2 samples or more.
        teacher_logits: `(batch, classes)`; takes no gradient.
        inter: beta in eq. 10, at least 0.
        intra: gamma in eq. 10, at least 0.
        temperature: T, above 0; published 4 for CIFAR-100, 1 for ImageNet.

    Returns:
        A scalar in `[0, 2 T^2 (inter + intra)]`, in fp32.

    Raises:
        InputError: When the shapes differ.
    """
    require_same_shape(student_logits, teacher_logits, what="logits")
    student = torch.softmax(student_logits.float() / temperature, dim=1)
    teacher = torch.softmax(teacher_logits.detach().float() / temperature, dim=1)
    between_classes = (1 - correlation(student, teacher)).mean()
    between_samples = (1 - correlation(student.T, teacher.T)).mean()
    return temperature**2 * (inter * between_classes + intra * between_samples)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of each pair of rows, `(rows, columns)` twice to `(rows,)`."""
    a, b = (x - x.mean(1, keepdim=True) for x in (first, second))
    return F.cosine_similarity(a, b, dim=1)
