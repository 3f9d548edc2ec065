"""ReviewKD: each of the student's stages together with all deeper ones.

Pengguang Chen, Shu Liu, Hengshuang Zhao, Jiaya Jia, "Distilling Knowledge via Knowledge Review",
CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError

_LEVELS = (4, 2, 1)


class Review(nn.Module):
    """`sum_j D( ABF_j,n(F_s,j .. F_s,n), F_t,j )`, eq. 8, from the deepest stage n upwards.

    ABF mixes a stage with what the deeper ones gave, by attention maps; D is hierarchical context
    loss. The deepest pair may be the pooled features, as maps of 1x1.

    Args:
        student_channels: Of each of the student's maps, in order of depth.
        teacher_channels: Of each of the teacher's maps.
        width: Most channels inside; 512 in the authors' code.
    """

    def __init__(
        self,
        student_channels: Sequence[int],
        teacher_channels: Sequence[int],
        *,
        width: int = 512,
    ) -> None:
        super().__init__()
        middle = min(width, student_channels[-1])
        deepest = len(student_channels) - 1
        self.fusions = nn.ModuleList(
            _Fusion(ours, middle, theirs, mixes=place < deepest)
            for place, (ours, theirs) in enumerate(
                zip(student_channels, teacher_channels, strict=True)
            )
        )

    def forward(self, student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
        """A scalar; maps are `(batch, channels, height, width)`, the teacher's take no gradient.

        Raises:
            InputError: When there are not as many maps as channels were given.
        """
        if not len(student_maps) == len(teacher_maps) == len(self.fusions):
            raise InputError(
                f"{len(student_maps)} maps of the student and {len(teacher_maps)} of the teacher "
                f"for {len(self.fusions)} stages."
            )
        terms = []
        deeper: Tensor | None = None
        stages = zip(self.fusions, student_maps, teacher_maps)
        for fuse, student, teacher in reversed(list(stages)):
            told, deeper = fuse(student, deeper, (teacher.shape[2], teacher.shape[3]))
            terms.append(hierarchical_context(told, teacher))
        return torch.stack(terms).sum()


class _Fusion(nn.Module):
    """Attention based fusion, figure 3 (a)."""

    def __init__(self, channels: int, middle: int, out: int, *, mixes: bool) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, middle, 1, bias=False), nn.BatchNorm2d(middle)
        )
        self.outer = nn.Sequential(
            nn.Conv2d(middle, out, 3, padding=1, bias=False), nn.BatchNorm2d(out)
        )
        self.attention = nn.Conv2d(2 * middle, 2, 1) if mixes else None

    def forward(
        self, own: Tensor, deeper: Tensor | None, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """What is compared, of the teacher's `size`, and what the next stage up gets."""
        mixed = self.inner(own)
        if self.attention is not None and deeper is not None:
            # A 1x1 convolution of both on top of each other is the sum of one of each, and that of
            # the deeper map can be made before it is enlarged.
            for_own, for_deeper = self.attention.weight.chunk(2, dim=1)
            heard, size_here = F.conv2d(deeper, for_deeper), mixed.shape[2:]
            part = F.conv2d(mixed, for_own, self.attention.bias)
            part = torch.sigmoid(part + F.interpolate(heard, size_here, mode="nearest"))
            enlarged = F.interpolate(deeper, size_here, mode="nearest")
            mixed = part[:, :1] * mixed + part[:, 1:] * enlarged
        # As the authors' code: the next stage gets what was mixed, in the teacher's resolution.
        mixed = mixed if mixed.shape[2:] == size else F.interpolate(mixed, size, mode="nearest")
        return self.outer(mixed), mixed


def hierarchical_context(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared distances of the maps and of their averages on 4x4, 2x2 and 1x1 grids.

    Weights halve from level to level and are divided by their sum; levels that are not smaller
    than the map are left out (figure 3 (b), weights of the authors' code).

    Args:
        student: `(batch, channels, height, width)`.
        teacher: The same shape; takes no gradient.

    Returns:
        A scalar, at least 0.
    """
    student, teacher = student.float(), teacher.detach().float()
    total, weights, weight = F.mse_loss(student, teacher), 1.0, 1.0
    for level in _LEVELS:
        if level >= student.shape[2]:
            continue
        weight /= 2
        ours, theirs = (F.adaptive_avg_pool2d(x, level) for x in (student, teacher))
        total = total + weight * F.mse_loss(ours, theirs)
        weights += weight
    return total / weights
