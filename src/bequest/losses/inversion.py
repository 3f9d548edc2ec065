"""Losses that make images out of a network, on logits and features."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.losses.distillation import kl_divergence


def one_hot_loss(logits: Tensor) -> Tensor:
    """Per-sample cross-entropy to the network's own most likely class (DAFL, eq. 2): be sure."""
    return F.cross_entropy(logits.float(), logits.argmax(1), reduction="none")


def class_balance_loss(logits: Tensor) -> Tensor:
    """`sum_c p_c log p_c` of the mean prediction (DAFL, eq. 4): every class equally often.

    Returns:
        A scalar in [-log(classes), 0]; the minimum is the uniform distribution.
    """
    # In logarithms throughout: the gradient of p log p is NaN for a p that underflows to 0.
    log_probability = F.log_softmax(logits.float(), dim=1)
    log_mean = torch.logsumexp(log_probability, dim=0) - math.log(len(logits))
    return (log_mean.exp() * log_mean).sum()


def activation_loss(features: Tensor) -> Tensor:
    """`-mean |features|` (DAFL, eq. 3): real images excite a network more than noise does."""
    return -features.float().abs().mean()


def adversarial_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, agreeing_only: bool = False
) -> Tensor:
    """`-mean KL(teacher || student)`: seek where the student is wrong.

    Args:
        student_logits: `(batch, classes)`, or of each pixel, `(batch, classes, height, width)`.
        teacher_logits: Like `student_logits`.
        agreeing_only: Count only the samples (pixels) on which both choose the same class, as CMI
            and Fast do: what the student already gets wrong needs no harder copy.
    """
    divergence = kl_divergence(student_logits, teacher_logits)
    if agreeing_only:
        divergence = divergence * (student_logits.argmax(1) == teacher_logits.argmax(1))
    return -divergence.mean()


def assignment_entropy(logits: Tensor) -> Tensor:
    """Entropy of each row's softmax, `(rows,)`, in nats: 0 where a row has chosen one column.

    Finite, and with a finite gradient, for probabilities that underflow to 0.
    """
    log_probability = F.log_softmax(logits.float(), dim=1)
    return -(log_probability.exp() * log_probability).sum(1)
