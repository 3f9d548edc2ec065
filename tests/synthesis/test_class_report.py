"""How far classes spread, by hand."""

from __future__ import annotations

import pytest
import torch

from bequest.synthesis.class_report import class_spread


def test_spread_is_the_ratio_of_distances() -> None:
    vectors = torch.tensor([[0.0], [2.0], [10.0]])
    assert class_spread(vectors, torch.tensor([0, 0, 1])) == pytest.approx(2 / 9)


def test_without_pairs_there_is_no_spread() -> None:
    vectors = torch.zeros(3, 2)
    assert class_spread(vectors, torch.tensor([0, 1, 2])) is None
    assert class_spread(vectors, torch.tensor([1, 1, 1])) is None
