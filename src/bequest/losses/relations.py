"""What a student's tokens may be held to of a teacher's: relations, features, the class token.

Sucheng Ren, Fangyun Wei, Zheng Zhang, Han Hu, "TinyMIM: An Empirical Study of Distilling MIM
Pre-trained Models", CVPR 2023.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bequest.ops.token_relations import log_relation


def relation_kl(
    student_scores: Tensor, teacher_scores: Tensor, *, mean_head: bool = False
) -> Tensor:
    """`sum_j Rt log(Rt / Rs)` with R the softmax of a row of scores, the mean over all rows.

    The mean is over batch, heads and rows, not over the batch alone as `reduction="batchmean"`.

    Args:
        student_scores: `(batch, heads, tokens, tokens)`, see `ops.token_relations`.
        teacher_scores: Like `student_scores`; with `mean_head` the heads may differ in number.
        mean_head: Whether each side's relation is averaged over its heads first.

    Returns:
        A scalar of at least 0, in nats, fp32.
    """
    student = log_relation(student_scores, mean_head=mean_head)
    teacher = log_relation(teacher_scores, mean_head=mean_head)
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(-1).mean()


def relation_error(
    student_scores: Tensor, teacher_scores: Tensor, *, mean_head: bool = False
) -> Tensor:
    """The mean squared difference of scores, for relations without a softmax.

    Args:
        student_scores: `(batch, heads, tokens, tokens)`.
        teacher_scores: Like `student_scores`; with `mean_head` the heads may differ in number.
        mean_head: Whether each side's scores are averaged over its heads first.

    Returns:
        A scalar, fp32.
    """
    student, teacher = student_scores.float(), teacher_scores.float()
    if mean_head:
        student, teacher = student.mean(1), teacher.mean(1)
    return F.mse_loss(student, teacher)


def feature_error(student: Tensor, teacher: Tensor) -> Tensor:
    """The smooth L1 distance to the teacher's tokens, each of these whitened over its channels.

    After "feature distillation" (Wei et al., arXiv 2205.14141): a LayerNorm without weights makes
    teachers of different scale alike.

    Args:
        student: `(batch, tokens, dim)`, already projected to the teacher's width.
        teacher: `(batch, tokens, dim)`.

    Returns:
        A scalar, the mean over all elements, fp32.
    """
    teacher = teacher.float()
    return F.smooth_l1_loss(student.float(), F.layer_norm(teacher, teacher.shape[-1:]))


def class_token_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """`KL(softmax(teacher) || softmax(student))` over the channels of the class token.

    Args:
        student: `(batch, dim)`, already projected to the teacher's width.
        teacher: `(batch, dim)`.

    Returns:
        A scalar, the mean over the batch, in nats, fp32.
    """
    guess, target = (F.log_softmax(token.float(), dim=-1) for token in (student, teacher))
    return F.kl_div(guess, target, reduction="batchmean", log_target=True)
