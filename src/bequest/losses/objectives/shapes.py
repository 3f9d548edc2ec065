"""Checks that objectives share: what is compared must be of one shape."""

from __future__ import annotations

from torch import Tensor

from bequest.errors import InputError


def require_same_shape(student: Tensor, teacher: Tensor, *, what: str) -> None:
    """Refuses tensors of two shapes.

    Raises:
        InputError: Names both.
    """
    if student.shape != teacher.shape:
        raise InputError(
            f"The student's {what} are {tuple(student.shape)}, the teacher's "
            f"{tuple(teacher.shape)}: they must be of one shape. Tap other layers, or put a "
            "projector between."
        )


def require_same_batch(student: Tensor, teacher: Tensor, *, what: str, dims: int) -> None:
    """Refuses tensors of two batch sizes, or of another number of dimensions than `dims`.

    Raises:
        InputError: Names both shapes.
    """
    if student.dim() != dims or teacher.dim() != dims or len(student) != len(teacher):
        kind = "(batch, channels, height, width)" if dims == 4 else "(batch, dim)"
        raise InputError(
            f"The student's {what} are {tuple(student.shape)}, the teacher's "
            f"{tuple(teacher.shape)}: two tensors {kind} of one batch are needed."
        )
