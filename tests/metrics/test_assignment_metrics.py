"""Figures of assignments by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.metrics.assignment import assignment_figures, cost_figures, feasible_rows
from bequest.ops.assignment import pad_problems


class Fixed(nn.Module):
    def __init__(self, soft, found):
        super().__init__()
        self.soft, self.found = soft, found

    def forward(self, problems):
        return self.soft

    def assign(self, problems):
        return self.found


PROBLEMS = pad_problems([torch.tensor([[0.1, 0.4], [0.2, 0.3]]), torch.tensor([[0.5]])])
SOFT = torch.tensor([[[0.9, 0.1], [0.6, 0.4]], [[1.0, 0.0], [0.0, 0.0]]])


def test_accuracy_counts_rows_and_weighs_problems_alike():
    found, target = torch.tensor([[1, 0], [0, -1]]), torch.tensor([[0, 1], [0, -1]])
    figures = assignment_figures(Fixed(SOFT, found), PROBLEMS, target)
    assert figures == pytest.approx({"accuracy": 50.0, "feasible": 50.0})


def test_two_rows_that_claim_one_column_are_infeasible():
    assert feasible_rows(SOFT, PROBLEMS).tolist() == [0.0, 1.0]
    assert feasible_rows(SOFT.flip(1)[:1] * torch.tensor([[[1.0], [0.1]]]),
                         pad_problems([torch.rand(2, 2)])).tolist() == [0.0]  # fmt: skip


def test_costs_beside_the_optimum():
    found, target = torch.tensor([[1, 0], [0, -1]]), torch.tensor([[0, 1], [0, -1]])
    figures = cost_figures(found, SOFT, target, PROBLEMS)
    assert figures["score"] == pytest.approx(100 * (0.4 / 0.6 + 1) / 2, rel=1e-5)
    assert figures["gap"] == pytest.approx(100 * (0.6 / 0.4 - 1) / 2, rel=1e-5)
    softly = 0.09 + 0.04 + 0.12 + 0.12
    assert figures["soft_score"] == pytest.approx(100 * (0.4 / softly + 1) / 2, rel=1e-5)
