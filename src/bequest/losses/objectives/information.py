"""VID: how well the teacher's maps can be told from the student's.

Sungsoo Ahn, Shell Xu Hu, Andreas Damianou, Neil D. Lawrence, Zhenwen Dai, "Variational Information
Distillation for Knowledge Transfer", CVPR 2019.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.objectives.projector import to_common_size


class VariationalInformation(nn.Module):
    """`mean ( log sigma_c + (F_t - mu(F_s))^2 / (2 sigma_c^2) )`, eq. 5, for one pair of maps.

    mu is three 1x1 convolutions, sigma a learnt deviation of each channel; both are the
    variational distribution, by which mutual information is bounded from below. The loss may be
    negative.

    Args:
        student_channels: Of the student's map.
        teacher_channels: Of the teacher's map.
        variance: sigma^2 at the beginning, above `smallest`; 5 in the authors' code.
        smallest: Least variance, above 0.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        *,
        variance: float = 5.0,
        smallest: float = 1e-5,
    ) -> None:
        super().__init__()
        self.mean = nn.Sequential(
            nn.Conv2d(student_channels, teacher_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
        )
        # softplus of it is the variance.
        start = math.log(math.expm1(variance - smallest))
        self.scale = nn.Parameter(torch.full((teacher_channels,), start))
        self.smallest = smallest

    def forward(self, student_map: Tensor, teacher_map: Tensor) -> Tensor:
        """A scalar; maps are `(batch, channels, height, width)`, the teacher's takes no gradient.

        Raises:
            InputError: When the resolutions do not fit.
        """
        [(student, teacher)] = to_common_size([student_map], [teacher_map])
        variance = F.softplus(self.scale) + self.smallest
        # The mean over a channel first: what follows is a handful of numbers, not maps.
        error = (self.mean(student).float() - teacher.detach().float()).square().mean((0, 2, 3))
        # log sigma = log variance / 2
        return (0.5 * (error / variance + variance.log())).mean()
