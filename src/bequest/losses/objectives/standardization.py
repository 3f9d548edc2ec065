"""KD on standardised logits: the student need not match the teacher's scale.

Shangquan Sun, Wenqi Ren, Jingzhi Li, Rui Wang, Xiaochun Cao, "Logit Standardization in Knowledge
Distillation", CVPR 2024. Standardised logits can go into any other objective on logits, too.
"""

from __future__ import annotations

from torch import Tensor

from bequest.losses.distillation import kl_divergence
from bequest.losses.objectives.shapes import require_same_shape


def standardize(logits: Tensor) -> Tensor:
    """`(z - mean z) / std z` over the classes of each sample (algorithm 1), in fp32.

    Args:
        logits: `(batch, classes)`.

    Returns:
        `(batch, classes)`; the same for `a z + b` with any `a > 0` and `b`.
    """
    logits = logits.float()
    centred = logits - logits.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True).sqrt() + 1e-7)


def standardized_kd(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 2.0
) -> Tensor:
    """`T^2 mean KL(softmax(Z(teacher) / T) || softmax(Z(student) / T))` (algorithm 2).

    Differs: the deviation is that of the paper's formula, over all classes; the authors' code
    divides by classes - 1 under the root, which is a temperature of 0.5 % more at 100 classes.

    Args:
        student_logits: `(batch, classes)`.
        teacher_logits: `(batch, classes)`; takes no gradient.
        temperature: T, above 0; published 2 to 5.

    Returns:
        A scalar, at least 0.

    Raises:
        InputError: When the shapes differ.
    """
    require_same_shape(student_logits, teacher_logits, what="logits")
    pair = standardize(student_logits), standardize(teacher_logits.detach())
    return kl_divergence(*pair, temperature=temperature).mean()
