"""Similarity-preserving distillation: which samples of a batch excite a network alike.

Frederick Tung, Greg Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError


def similarities(activations: Tensor) -> Tensor:
    """`G = Q Q^T` with rows of length 1, eqs. 1 and 2: `(batch, ...)` to `(batch, batch)`."""
    rows = activations.float().flatten(1)
    return F.normalize(rows @ rows.T, dim=1)


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """`|| G_t - G_s ||^2 / batch^2`, eq. 4. Only the batch must agree.

    Args:
        student: Maps or features `(batch, ...)`.
        teacher: `(batch, ...)`; takes no gradient.

    Returns:
        A scalar, at least 0.

    Raises:
        InputError: When the batches differ.
    """
    if len(student) != len(teacher):
        raise InputError(
            f"The student's activations are {tuple(student.shape)}, the teacher's "
            f"{tuple(teacher.shape)}: they must be of one batch."
        )
    return F.mse_loss(similarities(student), similarities(teacher.detach()))
