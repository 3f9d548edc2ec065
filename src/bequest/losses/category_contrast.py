"""Instances told apart by their relation to every class: the rows of a classifier as its centres.

Ding et al., "Preview-based Category Contrastive Learning for Knowledge Distillation", IEEE TCSVT
2025.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.contrastive import supervised_contrast


class CategoryContrast(nn.Module):
    """Supervised contrast of relation vectors `r = (E f / |E f|) W^T`, one entry a class.

    Both relations of a view come from the student's feature f: one with an embedding E of its own
    size and the student's classifier W, one with an embedding into the teacher's space and the
    teacher's W. Positives of a relation are all others of its label, of either kind. Relations are
    not normalised, and a row's loss is scaled by `temperature / base_temperature`, as published.

    Args:
        student_dim: Of the student's features, the input of its last linear layer.
        teacher_dim: Of the teacher's.
        mode: `relation` contrasts relations among instances, as the published code does; `centre`
            tells an instance's own class centre from the others, as the paper's figure shows it
            (inferred: cross-entropy of the relation).
        temperature: tau; published 4.
        base_temperature: tau_0; published 0.07.

    Example:
        >>> contrast = CategoryContrast(8, 16)
        >>> student_head, teacher_head = torch.zeros(3, 8), torch.zeros(3, 16)
        >>> labels = torch.tensor([0, 1, 2, 0])
        >>> contrast(torch.randn(4, 8), student_head, teacher_head, labels).shape
        torch.Size([4])
    """

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        *,
        mode: Literal["relation", "centre"] = "relation",
        temperature: float = 4.0,
        base_temperature: float = 0.07,
    ) -> None:
        super().__init__()
        if temperature <= 0 or base_temperature <= 0:
            raise InputError(
                f"temperature is {temperature}, base_temperature {base_temperature}; both must be "
                "above 0."
            )
        self.mode, self.temperature, self.base_temperature = mode, temperature, base_temperature
        self.own = nn.Linear(student_dim, student_dim)
        self.taught = nn.Linear(student_dim, teacher_dim)

    def relations(
        self, features: Tensor, student_head: Tensor, teacher_head: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The relation to the student's and to the teacher's centres, each `(batch, classes)`.

        Args:
            features: The student's, `(batch, student_dim)`.
            student_head: W of the student, `(classes, student_dim)`; it learns.
            teacher_head: W of the teacher, `(classes, teacher_dim)`; takes no gradient.
        """
        own = F.normalize(self.own(features), dim=1) @ student_head.T
        taught = F.normalize(self.taught(features), dim=1) @ teacher_head.detach().T
        return own, taught

    def forward(
        self, features: Tensor, student_head: Tensor, teacher_head: Tensor, labels: Tensor
    ) -> Tensor:
        """Per-view loss `(batch,)`, at least 0: that of its two relations together.

        Args:
            features: The student's, `(batch, student_dim)`; views of one image are rows of one
                label.
            student_head: W of the student, `(classes, student_dim)`.
            teacher_head: W of the teacher, `(classes, teacher_dim)`.
            labels: `(batch,)`, int64.

        Raises:
            InputError: When the heads have different classes.
        """
        if len(student_head) != len(teacher_head):
            raise InputError(
                f"The student's head is {tuple(student_head.shape)}, the teacher's "
                f"{tuple(teacher_head.shape)}: as many rows are needed, one a class."
            )
        vectors = torch.cat(self.relations(features, student_head, teacher_head))
        labels = labels.repeat(2)
        if self.mode == "centre":
            losses = F.cross_entropy(vectors / self.temperature, labels, reduction="none")
        else:
            losses = supervised_contrast(vectors, labels, temperature=self.temperature)
        own, taught = losses.chunk(2)
        return self.temperature / self.base_temperature * (own + taught)


def centre_alignment(student: nn.Linear, teacher: nn.Linear) -> Tensor:
    """Mean squared error of two classifiers' centres `[W | b]`, a scalar; 0 for equal ones.

    Args:
        student: Takes the gradient.
        teacher: Takes none.

    Raises:
        InputError: When `alignable` says no: names both shapes.
    """
    if not alignable(student, teacher):
        raise InputError(
            f"The student's head is {_shape(student)}, the teacher's {_shape(teacher)}: their "
            "centres can be compared only where these are the same."
        )
    return F.mse_loss(_centres(student), _centres(teacher).detach())


def alignable(student: nn.Linear, teacher: nn.Linear) -> bool:
    """Whether both classifiers have as many classes, features and biases."""
    return _shape(student) == _shape(teacher)


def _shape(head: nn.Linear) -> str:
    bias = "without" if head.bias is None else "with"
    return f"{head.out_features}x{head.in_features} {bias} bias"


def _centres(head: nn.Linear) -> Tensor:
    return head.weight if head.bias is None else torch.cat((head.weight, head.bias[:, None]), dim=1)
