"""What stands between maps of two shapes: resolutions by averaging, channels by a projector."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError


class Projector(nn.Sequential):
    """A 1x1 convolution with BatchNorm (and ReLU): from the student's channels to the teacher's.

    Args:
        student_channels: At least 1.
        teacher_channels: At least 1.
        rectify: Whether a ReLU ends it, for teacher's maps that come out of one.

    Shapes:
        `(batch, student_channels, h, w)` to `(batch, teacher_channels, h, w)`.
    """

    def __init__(
        self, student_channels: int, teacher_channels: int, *, rectify: bool = False
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(student_channels, teacher_channels, 1, bias=False),
            nn.BatchNorm2d(teacher_channels),
        ]
        super().__init__(*layers, *([nn.ReLU()] if rectify else []))


def to_common_size(
    student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of maps of one height and width: of each two, the larger is averaged to the smaller.

    Args:
        student_maps: Each `(batch, channels, height, width)`.
        teacher_maps: As many.

    Raises:
        InputError: When there are none, the numbers or batches differ, or one side is no multiple
            of the other: names both shapes.
    """
    if len(student_maps) != len(teacher_maps) or not student_maps:
        raise InputError(
            f"The student is tapped at {len(student_maps)} maps "
            f"({_sizes(student_maps)}), the teacher at {len(teacher_maps)} "
            f"({_sizes(teacher_maps)}): as many are needed, at least one."
        )
    return [_pair(student, teacher) for student, teacher in zip(student_maps, teacher_maps)]


def _pair(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    shapes = tuple(student.shape), tuple(teacher.shape)
    sizes = tuple(student.shape[2:]), tuple(teacher.shape[2:])
    fits = (
        student.dim() == teacher.dim() == 4
        and len(student) == len(teacher)
        and (_divides(*sizes) or _divides(*sizes[::-1]))
    )
    if not fits:
        raise InputError(
            f"The student's map is {shapes[0]}, the teacher's {shapes[1]}: they must be of one "
            "batch, and height and width the same or a multiple. Tap layers of like resolution."
        )
    if sizes[0] == sizes[1]:
        return student, teacher
    height, width = min(sizes, key=math.prod)
    ours, theirs = (F.adaptive_avg_pool2d(m, (height, width)) for m in (student, teacher))
    return ours, theirs


def _divides(large: tuple[int, ...], small: tuple[int, ...]) -> bool:
    return all(a % b == 0 for a, b in zip(large, small))


def _sizes(maps: Sequence[Tensor]) -> str:
    return ", ".join("x".join(map(str, m.shape[1:])) for m in maps) or "none"
