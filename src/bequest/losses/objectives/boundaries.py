"""AB: on which side of its threshold each neuron of the teacher lies.

Byeongho Heo, Minsik Lee, Sangdoo Yun, Jin Young Choi, "Knowledge Transfer via Distillation of
Activation Boundaries Formed by Hidden Neurons", AAAI 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.objectives.projector import Projector, to_common_size


def activation_boundary(student: Tensor, teacher: Tensor, *, margin: float = 2.0) -> Tensor:
    """`sum 1(t > 0) relu(m - s)^2 + 1(t <= 0) relu(m + s)^2` over a sample, eq. 5: `(batch,)`.

    Args:
        student: `(batch, ...)`, before any activation.
        teacher: The same shape, before or after a ReLU; takes no gradient.
        margin: m, above 0.
    """
    student = student.float()
    with torch.no_grad():
        # The nearest value on the right side; the distance to it has the same gradient.
        right = torch.where(teacher > 0, student.clamp(min=margin), student.clamp(max=-margin))
    return F.mse_loss(student, right, reduction="none").flatten(1).sum(1)


class ActivationBoundaries(nn.Module):
    """`3 / 1000 sum_j 2^(j - J) mean_batch AB(connector_j(F_s,j), F_t,j)`, j = 1 .. J.

    A connector is a 1x1 convolution with BatchNorm, so that the student's maps may come out of a
    ReLU. Weights and scale are those of RepDistiller.

    Differs: the paper lets the student learn boundaries first and classes afterwards; here both
    are terms of one loss all the time.

    Args:
        student_channels: Of each of the student's maps.
        teacher_channels: Of each of the teacher's maps.
        margin: m, above 0; 2 in RepDistiller.
    """

    def __init__(
        self,
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
        *,
        margin: float = 2.0,
    ) -> None:
        super().__init__()
        pairs = zip(student_channels, teacher_channels, strict=True)
        self.connectors = nn.ModuleList(Projector(ours, theirs) for ours, theirs in pairs)
        self.margin = margin

    def forward(self, student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
        """A scalar; maps are `(batch, channels, height, width)`, the teacher's take no gradient.

        Raises:
            InputError: When numbers or sizes of the maps do not fit.
        """
        pairs = to_common_size(student_maps, teacher_maps)
        terms = [
            2.0 ** (place - len(pairs) + 1)
            * activation_boundary(connect(student), teacher, margin=self.margin).mean()
            for place, (connect, (student, teacher)) in enumerate(zip(self.connectors, pairs))
        ]
        return 3 / 1000 * torch.stack(terms).sum()
