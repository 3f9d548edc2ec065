"""DKD: the divergence of target and other classes, weighed apart.

Borui Zhao, Quan Cui, Renjie Song, Yiyu Qiu, Jiajun Liang, "Decoupled Knowledge Distillation", CVPR
2022.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.losses.objectives.shapes import require_same_shape


def dkd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """`T^2 mean( alpha KL(b_t || b_s) + beta KL(q_t || q_s) )`, eq. 7.

    `b = (p_target, 1 - p_target)`, and `q` is the distribution over the other classes alone. With
    `beta = 1 - p_target` of the teacher for each sample, and `alpha = 1`, it would be KD (eq. 6).

    Args:
        student_logits: `(batch, classes)`.
        teacher_logits: `(batch, classes)`; takes no gradient.
        labels: `(batch,)`, int64: the targets.
        alpha: Of the target class against all others, at least 0.
        beta: Of the others among themselves, at least 0; published 0.25 to 8 by pair of networks.
        temperature: T, above 0.

    Returns:
        A scalar, at least 0, in fp32.

    Raises:
        InputError: When the shapes differ.
    """
    require_same_shape(student_logits, teacher_logits, what="logits")
    teacher_logits = teacher_logits.detach()
    target, others = decoupled(student_logits, teacher_logits, labels, temperature=temperature)
    return temperature**2 * (alpha * target + beta * others).mean()


def decoupled(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """Per-sample `KL(b_t || b_s)` and `KL(q_t || q_s)`, both `(batch,)`, in nats, without `T^2`.

    `KL(p_t || p_s) = KL(b_t || b_s) + (1 - p_target of the teacher) KL(q_t || q_s)`, eq. 5.
    """
    student, teacher = student_logits.float() / temperature, teacher_logits.float() / temperature
    is_target = F.one_hot(labels, student.shape[1]).bool()
    log_student, log_teacher = F.log_softmax(student, dim=1), F.log_softmax(teacher, dim=1)
    binary_student, binary_teacher = (
        torch.stack(
            (
                log.masked_select(is_target),
                # Over the others' logarithms: 1 - p would lose all digits of a sure network.
                log.masked_fill(is_target, -torch.inf).logsumexp(1),
            ),
            dim=1,
        )
        for log in (log_student, log_teacher)
    )
    target = F.kl_div(binary_student, binary_teacher, reduction="none", log_target=True).sum(1)
    # A finite floor far below all logits: exp gives exactly 0, and 0 times it is no NaN.
    floor = -1e4
    other_student = F.log_softmax(student.masked_fill(is_target, floor), dim=1)
    other_teacher = F.log_softmax(teacher.masked_fill(is_target, floor), dim=1)
    others = F.kl_div(other_student, other_teacher, reduction="none", log_target=True)
    return target, others.masked_fill(is_target, 0.0).sum(1)
