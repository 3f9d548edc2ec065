"""Features brought to a teacher's by direction, through an MLP that is thrown away afterwards."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ProjectedCosine(nn.Module):
    """Per-sample `2 - 2 cos(g(student), teacher)`, with the MLP g as in BYOL.

    Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, eq. 2: linear, BatchNorm, ReLU, linear.

    Args:
        student_dim: Of the student's features.
        teacher_dim: Of the teacher's.
        factor: How many times wider than the teacher's features g is inside.
    """

    def __init__(self, student_dim: int, teacher_dim: int, *, factor: int = 16) -> None:
        super().__init__()
        inner = factor * teacher_dim
        self.projector = nn.Sequential(
            nn.Linear(student_dim, inner),
            nn.BatchNorm1d(inner),
            nn.ReLU(inplace=True),
            nn.Linear(inner, teacher_dim),
        )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """`(batch,)`, in [0, 4].

        Args:
            student: `(batch, student_dim)`.
            teacher: `(batch, teacher_dim)`; takes no gradient.
        """
        return 2 - 2 * F.cosine_similarity(self.projector(student), teacher.detach(), dim=1)
