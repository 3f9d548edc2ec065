"""Feature alignment: values by hand, gradients, what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.errors import InputError
from bequest.losses.alignment import disagreement_weight, weighted_map_error


def test_weights_by_hand() -> None:
    student, teacher = (
        torch.tensor([[0.0, 0.0], [3.0, 0.0]]),
        torch.tensor([[0.0, 0.0], [0.0, 4.0]]),
    )
    weight = disagreement_weight(student, teacher)
    sigmoid_of_five = 1 / (1 + math.exp(-5))
    assert weight.tolist() == pytest.approx([0.5, sigmoid_of_five], abs=1e-6)
    # Distances 0 and 5 have the mean 2.5.
    scaled = disagreement_weight(student, teacher, scale="mean")
    assert scaled.tolist() == pytest.approx([0.5, 1 / (1 + math.exp(-2))], abs=1e-5)


def test_weights_take_no_gradient_and_lie_between_a_half_and_one() -> None:
    student = (9 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))).requires_grad_()
    weight = disagreement_weight(student, torch.zeros(50, 4))
    assert not weight.requires_grad
    assert weight.min() >= 0.5
    assert weight.max() <= 1


def test_error_by_hand() -> None:
    student = torch.tensor([1.0, 2.0, 0.0, 0.0]).view(2, 1, 1, 2)
    teacher = torch.tensor([0.0, 0.0, 0.0, 3.0]).view(2, 1, 1, 2)
    # (1 + 4 + 0 + 9) / 4; weighted (5 / 2 + 9) / 4.
    assert weighted_map_error(student, teacher).item() == pytest.approx(3.5)
    weighted = weighted_map_error(student, teacher, torch.tensor([0.5, 1.0]))
    assert weighted.item() == pytest.approx(11.5 / 4)


def test_gradients_are_right_and_stay_with_the_student() -> None:
    rng = torch.Generator().manual_seed(0)
    student, teacher = (torch.rand(2, 3, 2, 2, generator=rng).requires_grad_() for _ in range(2))
    weighted_map_error(student, teacher, torch.tensor([0.5, 2.0])).backward()
    assert teacher.grad is None
    scale = torch.tensor([0.5, 2.0]).view(2, 1, 1, 1)
    expected = 2 * scale * (student - teacher).detach() / student.numel()
    torch.testing.assert_close(student.grad, expected)


def test_shapes_are_checked() -> None:
    with pytest.raises(InputError, match="one shape"):
        weighted_map_error(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 2, 2))
