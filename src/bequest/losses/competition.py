"""Images on which a student still differs from its teacher (Yin et al., CVPR 2020, Sec. 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def jensen_shannon(first: Tensor, second: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Per-sample `JS = (KL(p || m) + KL(q || m)) / 2` with `m = (p + q) / 2`, in nats.

    Args:
        first: Logits of p, `(batch, classes)`.
        second: Logits of q, `(batch, classes)`.
        temperature: Divides both logits, above 0.

    Returns:
        `(batch,)` in [0, log 2]: 0 where both agree, log 2 where they share no class. Symmetric.
    """
    log_p = F.log_softmax(first.float() / temperature, dim=1)
    log_q = F.log_softmax(second.float() / temperature, dim=1)
    log_m = torch.logaddexp(log_p, log_q) - torch.log(log_p.new_tensor(2.0))
    return (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(1) / 2


def competition_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 3.0
) -> Tensor:
    """`1 - mean JS(p_T, p_S)`: smaller where the student is further from the teacher.

    Differs: the authors' code takes `KL(m || p)`, with probabilities clamped to [0.01, 0.99]; here
    it is the divergence of the paper, which needs no clamp. Temperature 3 is their code's.

    Args:
        student_logits: `(batch, classes)`.
        teacher_logits: `(batch, classes)`.
        temperature: Divides both logits, above 0.

    Returns:
        A scalar in [1 - log 2, 1].
    """
    return 1 - jensen_shannon(student_logits, teacher_logits, temperature=temperature).mean()
