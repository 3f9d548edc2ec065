"""CRD: the student's features must name their sample among many of the teacher's, and vice versa.

Yonglong Tian, Dilip Krishnan, Phillip Isola, "Contrastive Representation Distillation", ICLR 2020.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError


class ContrastiveRepresentation(nn.Module):
    """`- mean log h(i, i) - mean sum_k log(1 - h(i, k))`, eq. 18, in both directions.

    `h(i, j) = e / (e + negatives / count)` with `e = exp(u_i . v_j / T) / Z`, eq. 19. u is the
    embedded batch of one network, v a bank with the last embedding of each sample by the other,
    moved towards the new one in each step. Negatives are samples of other classes, drawn anew for
    each sample with replacement. Z is set once, by the first batch.

    A batch is compared with the whole bank by one product, of which the drawn scores are taken:
    gathering the vectors instead moves `negatives * dim` numbers a sample.

    Args:
        student_dim: Of the student's features.
        teacher_dim: Of the teacher's features.
        labels: `(count,)`, int64: the class of every sample that there is.
        negatives: N, drawn for each sample; published 16,384.
        dim: Of the embeddings; published 128.
        temperature: T; published 0.07.
        momentum: Share of the old embedding that stays in the bank; 0.5 in the authors' code.
        seed: Decides the first banks and the draws.

    Raises:
        InputError: When all samples are of one class.
    """

    banks: Tensor
    norms: Tensor
    order: Tensor
    starts: Tensor
    sizes: Tensor
    labels: Tensor

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        *,
        labels: Tensor,
        negatives: int = 16_384,
        dim: int = 128,
        temperature: float = 0.07,
        momentum: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = torch.bincount(labels)
        if int((sizes > 0).sum()) < 2:
            raise InputError("CRD needs samples of two classes or more: negatives are of others.")
        self.student, self.teacher = nn.Linear(student_dim, dim), nn.Linear(teacher_dim, dim)
        self.negatives, self.temperature, self.momentum = negatives, temperature, momentum
        rng = torch.Generator().manual_seed(seed)
        banks = F.normalize(torch.randn((2, len(labels), dim), generator=rng), dim=2)
        self.register_buffer("banks", banks)
        self.register_buffer("norms", torch.zeros(2))
        self._scaled = False
        # All samples sorted by class, so that "any of another class" is one draw and one shift.
        self.register_buffer("order", labels.argsort(stable=True), persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)
        self.register_buffer("labels", labels.clone(), persistent=False)

    def forward(
        self,
        student_features: Tensor,
        teacher_features: Tensor,
        places: Tensor,
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """A scalar, at least 0; moves the banks.

        Args:
            student_features: `(batch, student_dim)`.
            teacher_features: `(batch, teacher_dim)`; takes no gradient, its embedding does.
            places: `(batch,)`, int64: which samples these are.
            rng: Decides the negatives; None is PyTorch's own.
        """
        ours = F.normalize(self.student(student_features.float()), dim=1)
        theirs = F.normalize(self.teacher(teacher_features.detach().float()), dim=1)
        if not self._scaled:  # asked of the device until it is so, and never again
            self._scaled = bool((self.norms > 0).all())
        chosen = self._chosen(places, rng)
        loss = self._direction(ours, 0, chosen) + self._direction(theirs, 1, chosen)
        self._remember(ours.detach(), theirs.detach(), places)
        return loss

    def _chosen(self, places: Tensor, rng: torch.Generator | None) -> Tensor:
        """The sample itself and its negatives: `(batch, 1 + negatives)`."""
        label = self.labels[places]
        start, size = self.starts[label, None], self.sizes[label, None]
        shape = (len(places), self.negatives)
        draw = torch.rand(shape, generator=rng, device=places.device)
        at = (draw * (len(self.labels) - size)).long()
        others = self.order[at + (at >= start) * size]
        return torch.cat((places[:, None], others), dim=1)

    def _direction(self, embedded: Tensor, which: int, chosen: Tensor) -> Tensor:
        """The loss of one network's embeddings against the other's bank."""
        # A copy, because the bank is moved before the backward pass.
        scores = (embedded @ self.banks[which].clone().T).gather(1, chosen) / self.temperature
        count = len(self.labels)
        if not self._scaled:
            self.norms[which] = scores.detach().exp().mean() * count
        log_e = scores - self.norms[which].clone().log()
        # h = sigmoid(log e - log(negatives / count)), and 1 - h is the sigmoid of the opposite.
        odds = log_e - math.log(self.negatives / count)
        return (F.softplus(-odds[:, 0]) + F.softplus(odds[:, 1:]).sum(1)).mean()

    @torch.no_grad()
    def _remember(self, ours: Tensor, theirs: Tensor, places: Tensor) -> None:
        for which, new in ((0, theirs), (1, ours)):
            old = self.banks[which, places]
            moved = F.normalize(self.momentum * old + (1 - self.momentum) * new, dim=1)
            self.banks[which, places] = moved
