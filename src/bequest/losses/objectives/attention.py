"""Attention transfer: where a network looks, as the energy of its channels at each place.

Sergey Zagoruyko, Nikos Komodakis, "Paying More Attention to Attention: Improving the Performance of
Convolutional Neural Networks via Attention Transfer", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from bequest.losses.objectives.projector import to_common_size


def attention_map(features: Tensor) -> Tensor:
    """`vec(mean_c F_c^2)`, of length 1: `(batch, channels, h, w)` to `(batch, h * w)`, in fp32."""
    return F.normalize(features.float().square().mean(1).flatten(1), dim=1)


def attention_transfer(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
    """`sum_j mean (Q_s,j - Q_t,j)^2`: eq. 2 with the mean over places of the authors' code.

    Channels may differ; of two resolutions the larger is averaged to the smaller.

    Args:
        student_maps: Each `(batch, channels, height, width)`.
        teacher_maps: As many; they take no gradient.

    Returns:
        A scalar, at least 0.

    Raises:
        InputError: When numbers or sizes of the maps do not fit.
    """
    return sum(
        F.mse_loss(attention_map(student), attention_map(teacher.detach()))
        for student, teacher in to_common_size(student_maps, teacher_maps)
    )  # type: ignore[return-value]  # there is at least one pair
