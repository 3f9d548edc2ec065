"""What is kept and what is lost while tasks follow each other, from the matrix of accuracies.

Row t holds the accuracies after stretch t of a stream, column i those of exam i, whose task was
learnt for the first time in stretch `learnt[i]`: in a class-incremental stream that is i.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bequest.errors import InputError


def final_accuracy(matrix: Tensor) -> float:
    """The mean over exams after the last stretch, `mean_i a[T, i]`."""
    _check(matrix, None)
    return matrix[-1].mean().item()


def average_accuracy(matrix: Tensor, learnt: Sequence[int] | None = None) -> float:
    """The mean over stretches of the mean over exams whose task has come by then.

    Rebuffi et al., "iCaRL", CVPR 2017: the average incremental accuracy.
    """
    learnt = _check(matrix, learnt)
    rows = []
    for moment, row in enumerate(matrix):
        come = [i for i, when in enumerate(learnt) if when <= moment]
        if come:
            rows.append(row[come].mean())
    return torch.stack(rows).mean().item() if rows else 0.0


def forgetting(matrix: Tensor, learnt: Sequence[int] | None = None) -> float:
    """`mean_i (max_t a[t, i] - a[T, i])` over tasks learnt before the last stretch.

    Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018; the maximum goes over
    all stretches from the task's own to the last, so that it is at least 0. 0 with one stretch.
    """
    learnt = _check(matrix, learnt)
    drops = [
        (matrix[when:, i].max() - matrix[-1, i]).item()
        for i, when in enumerate(learnt)
        if when < len(matrix) - 1
    ]
    return _mean(drops)


def backward_transfer(matrix: Tensor, learnt: Sequence[int] | None = None) -> float:
    """`mean_i (a[T, i] - a[i, i])` over tasks learnt before the last stretch.

    Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning", NIPS 2017, eq. 3.
    Below 0 where later tasks harm earlier ones; 0 with one stretch.
    """
    learnt = _check(matrix, learnt)
    changes = [
        (matrix[-1, i] - matrix[when, i]).item()
        for i, when in enumerate(learnt)
        if when < len(matrix) - 1
    ]
    return _mean(changes)


def forward_transfer(
    matrix: Tensor, untrained: Tensor, learnt: Sequence[int] | None = None
) -> float:
    """`mean_i (a[i - 1, i] - b[i])` over tasks that do not come first.

    Lopez-Paz and Ranzato, NIPS 2017, eq. 4: what earlier tasks are worth for one that has not come.

    Args:
        matrix: `(stretches, exams)`.
        untrained: b, of the network before the stream `(exams,)`.
        learnt: Of each exam.
    """
    learnt = _check(matrix, learnt)
    if untrained.shape != matrix.shape[1:]:
        raise InputError(f"untrained is {tuple(untrained.shape)} for {matrix.shape[1]} exams.")
    gains = [
        (matrix[when - 1, i] - untrained[i]).item()
        for i, when in enumerate(learnt)
        if 1 <= when <= len(matrix)
    ]
    return _mean(gains)


def task_accuracy(logits: Tensor, labels: Tensor, classes: Sequence[int]) -> Tensor:
    """The share of samples that are right when only `classes` are asked about, in [0, 1].

    The task-incremental score: the network is told the task, so that logits of others don't count.

    Args:
        logits: `(count, all classes)`.
        labels: `(count,)`, among `classes`.
        classes: Those of the task.
    """
    among = torch.as_tensor(tuple(classes), device=logits.device)
    return (among[logits[:, among].argmax(1)] == labels).float().mean()


def _check(matrix: Tensor, learnt: Sequence[int] | None) -> Sequence[int]:
    """The stretch of each exam; without any, exam i belongs to stretch i."""
    if matrix.dim() != 2 or not matrix.numel():
        raise InputError(
            f"The matrix of accuracies is {tuple(matrix.shape)}; (stretches, exams) is needed."
        )
    learnt = range(matrix.shape[1]) if learnt is None else learnt
    if len(learnt) != matrix.shape[1] or min(learnt) < 0:
        raise InputError(
            f"learnt is {list(learnt)}; a stretch from 0 on is needed for each of "
            f"{matrix.shape[1]} exams."
        )
    return learnt


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
