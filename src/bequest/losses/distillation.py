"""Losses between a teacher's and a student's logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def kl_divergence(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """Per-sample `T^2 * KL(softmax(teacher / T) || softmax(student / T))`.

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015: the factor
    T^2 keeps the size of the gradient the same for every temperature.

    Args:
        student_logits: `(batch, classes)`, or of each pixel, `(batch, classes, height, width)`.
        teacher_logits: Like `student_logits`.
        temperature: T, above 0.

    Returns:
        `(batch,)`, or of each pixel, `(batch, height, width)`; see `per_sample`. In nats, at
        least 0, in fp32 whatever the precision of the logits.
    """
    log_student = F.log_softmax(student_logits.float() / temperature, dim=1)
    log_teacher = F.log_softmax(teacher_logits.float() / temperature, dim=1)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(1)
    return divergence * temperature**2


def per_sample(values: Tensor) -> Tensor:
    """The mean over each sample's pixels: `(batch, ...)` to `(batch,)`, which stays as it is."""
    return values if values.dim() == 1 else values.flatten(1).mean(1)


def agreement(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """The share of samples whose most likely class is the same, in [0, 1]."""
    return (student_logits.argmax(1) == teacher_logits.argmax(1)).float().mean()


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of samples whose most likely class is the label, in [0, 1]."""
    return (logits.argmax(1) == labels).float().mean()


def top_probability(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Probability in [0, 1] and index of the most likely class, both `(batch,)`.

    Of each pixel for logits `(batch, classes, height, width)`: both `(batch, height, width)`.
    """
    probability, index = torch.softmax(logits.float(), dim=1).max(1)
    return probability, index
