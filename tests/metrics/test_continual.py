"""Figures of a small matrix by hand, and what they must be in special cases."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.metrics.continual import (
    average_accuracy,
    backward_transfer,
    final_accuracy,
    forgetting,
    forward_transfer,
    task_accuracy,
)

# After task 0, 1, 2; on task 0, 1, 2.
MATRIX = torch.tensor([[90.0, 10.0, 5.0], [70.0, 80.0, 15.0], [75.0, 50.0, 95.0]])


def test_figures_by_hand() -> None:
    assert final_accuracy(MATRIX) == pytest.approx((75 + 50 + 95) / 3)
    assert average_accuracy(MATRIX) == pytest.approx((90 + (70 + 80) / 2 + 220 / 3) / 3)
    assert forgetting(MATRIX) == pytest.approx(((90 - 75) + (80 - 50)) / 2)
    assert backward_transfer(MATRIX) == pytest.approx(((75 - 90) + (50 - 80)) / 2)
    untrained = torch.tensor([8.0, 4.0, 6.0])
    assert forward_transfer(MATRIX, untrained) == pytest.approx(((10 - 4) + (15 - 6)) / 2)


def test_a_task_that_got_better_later_was_forgotten_from_its_best() -> None:
    matrix = torch.tensor([[60.0, 0.0, 0.0], [80.0, 50.0, 0.0], [70.0, 50.0, 50.0]])
    assert forgetting(matrix) == pytest.approx((10 + 0) / 2)
    assert backward_transfer(matrix) == pytest.approx((10 + 0) / 2)


def test_with_one_stretch_nothing_is_forgotten() -> None:
    matrix = torch.tensor([[60.0, 40.0]])
    assert forgetting(matrix, [0, 0]) == 0
    assert backward_transfer(matrix, [0, 0]) == 0
    assert average_accuracy(matrix, [0, 0]) == 50


def test_exams_may_belong_to_any_stretch() -> None:
    # Two exams of stretch 0, one of stretch 1, as in a stream of pairs.
    matrix = torch.tensor([[50.0, 40.0, 5.0], [30.0, 60.0, 70.0], [20.0, 50.0, 60.0]])
    learnt = [0, 0, 1]
    assert average_accuracy(matrix, learnt) == pytest.approx((45 + 160 / 3 + 130 / 3) / 3)
    assert forgetting(matrix, learnt) == pytest.approx((30 + 10 + 10) / 3)
    assert backward_transfer(matrix, learnt) == pytest.approx((-30 + 10 - 10) / 3)
    assert forward_transfer(matrix, torch.tensor([9.0, 9.0, 1.0]), learnt) == pytest.approx(4)


def test_a_network_that_is_told_the_task_chooses_among_its_classes() -> None:
    logits = torch.tensor([[9.0, 1.0, 5.0, 2.0], [9.0, 3.0, 0.0, 2.0], [0.0, 1.0, 0.0, 2.0]])
    labels = torch.tensor([3, 1, 3])
    assert task_accuracy(logits, labels, (3, 1)).item() == 1
    assert task_accuracy(logits, labels, range(4)).item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("matrix", [torch.zeros(0, 2), torch.zeros(3)])
def test_no_matrix_is_refused(matrix: torch.Tensor) -> None:
    with pytest.raises(InputError, match="stretches, exams"):
        final_accuracy(matrix)


def test_an_exam_without_a_stretch_is_refused() -> None:
    with pytest.raises(InputError, match="each of 3 exams"):
        forgetting(MATRIX, [0, 1])
