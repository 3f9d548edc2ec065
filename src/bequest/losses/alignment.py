"""Bringing a student's feature maps to a teacher's."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError


def disagreement_weight(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    scale: Literal["none", "mean"] = "none",
) -> Tensor:
    """Per-sample `sigmoid(|| z_s - z_t ||)`: more where the two networks disagree.

    Tang et al., ICCV 2023, weighted feature alignment. Trap: logits usually differ by 4 and more,
    where the sigmoid is 0.98 and more, so that the weights hardly differ.

    Args:
        student_logits: `(batch, classes)`.
        teacher_logits: `(batch, classes)`.
        scale: `mean` divides the distances by their batch mean first, which undoes the trap.

    Returns:
        `(batch,)` in [0.5, 1], without gradient.
    """
    with torch.no_grad():
        distance = F.pairwise_distance(student_logits.float(), teacher_logits.float())
        if scale == "mean":
            distance = distance / distance.mean().clamp(min=1e-6)
        return torch.sigmoid(distance)


def weighted_map_error(
    student_map: Tensor, teacher_map: Tensor, weight: Tensor | None = None
) -> Tensor:
    """The mean over all elements of `w_i (student_map_i - teacher_map_i)^2`.

    Args:
        student_map: `(batch, channels, height, width)`.
        teacher_map: Of the same shape; takes no gradient.
        weight: `(batch,)`; None weighs all alike.

    Returns:
        A scalar, in fp32.

    Raises:
        InputError: When the shapes differ.
    """
    if student_map.shape != teacher_map.shape:
        raise InputError(
            f"maps are {tuple(student_map.shape)} and {tuple(teacher_map.shape)}; they must be of "
            "one shape."
        )
    error = (student_map.float() - teacher_map.detach().float()) ** 2
    return (error if weight is None else weight.view(-1, 1, 1, 1) * error).mean()
