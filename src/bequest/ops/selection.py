"""Which of many unlabelled samples two networks together are sure enough of."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bequest.errors import InputError


class Selected(NamedTuple):
    """What was selected.

    Shapes:
        mask: `(count,)` bool.
        thresholds: `(classes,)`, in [0, 1].
        counts: `(classes,)` int64, predictions of each class over all samples, kept or not.
        labels: `(count,)` int64, the predictions.
    """

    mask: Tensor
    thresholds: Tensor
    counts: Tensor
    labels: Tensor


def class_thresholds(counts: Tensor, threshold: float) -> Tensor:
    """A threshold a class: low for classes that are rarely predicted.

    Zhang et al., "FlexMatch", NeurIPS 2021, eq. 11 with the convex map `a / (2 - a)`: `a_c = n_c /
    max n` and `tau_c = tau a_c / (2 - a_c)`.

    Args:
        counts: `(classes,)`, predictions of each class.
        threshold: tau, of the class that is predicted most.

    Returns:
        `(classes,)`; 0 for a class that is never predicted.
    """
    abundance = counts / counts.max().clamp(min=1)
    return threshold * abundance / (2 - abundance)


def dynamic_selection(
    teacher_logits: Tensor,
    student_logits: Tensor,
    *,
    trust: float,
    threshold: float = 0.95,
    class_wise: bool = True,
    least: int = 0,
) -> Selected:
    """Keeps samples on which the mixed answer of teacher and student passes its class's threshold.

    Tang et al., ICCV 2023, dynamic instance selection. Trap: it is the logits that are mixed;
    mixed probabilities give other counts. Trap: thresholds follow the counts of all predictions,
    where FlexMatch counts the sure ones alone.

    Args:
        teacher_logits: `(count, classes)`.
        student_logits: `(count, classes)`.
        trust: Share of the teacher in the mixture, in [0, 1].
        threshold: Probability that a prediction must exceed, in [0, 1].
        class_wise: Whether rare classes have a lower threshold.
        least: Keep at least so many, those that pass best or fail least.

    Returns:
        See `Selected`.

    Raises:
        InputError: When the shapes differ, or `trust` or `threshold` lies outside [0, 1].
    """
    if teacher_logits.shape != student_logits.shape or teacher_logits.dim() != 2:
        raise InputError(
            f"logits are {tuple(teacher_logits.shape)} and {tuple(student_logits.shape)}; two of "
            "one shape (count, classes) are needed."
        )
    if not (0 <= trust <= 1 and 0 <= threshold <= 1):
        raise InputError(f"trust {trust} and threshold {threshold} must lie in [0, 1].")
    mixed = trust * teacher_logits.float() + (1 - trust) * student_logits.float()
    probability, labels = torch.softmax(mixed, dim=1).max(1)
    classes = mixed.shape[1]
    counts = torch.bincount(labels, minlength=classes)
    if class_wise:
        thresholds = class_thresholds(counts, threshold)
    else:
        thresholds = torch.full((classes,), threshold, device=mixed.device)
    margin = probability - thresholds[labels]
    mask = margin > 0
    if least > 0:
        mask[margin.topk(min(least, len(margin))).indices] = True
    return Selected(mask=mask, thresholds=thresholds, counts=counts, labels=labels)
