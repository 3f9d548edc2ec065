"""Drawings are pictures of the right kind, whatever the regularizer."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from bequest.nn.convex_ridge import ConvexRidgeRegularizer
from bequest.synthesis.ridge_drawings import drawn_course, drawn_ridges


@pytest.mark.parametrize("activation", ["spline", "relu"])
def test_filters_and_functions(activation: Literal["spline", "relu"]) -> None:
    regularizer = ConvexRidgeRegularizer(
        channels=(1, 2, 3), kernel_size=3, activation=activation, knots=5
    )
    drawing = drawn_ridges(regularizer, limit=2)
    assert drawing.shape[:2] == (1, 3)
    assert 0 <= drawing.min() < drawing.max() <= 1


def test_the_course_of_a_cost() -> None:
    assert drawn_course(torch.tensor([3.0, 2.0, 1.5, 1.5])).shape[:2] == (1, 3)
