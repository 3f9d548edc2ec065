"""Losses of assignments and of tracking, by hand and beside the formulas written out."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.losses.assignment import (
    cost_gap_loss,
    focal_assignment_loss,
    sparsity_penalty,
    sum_penalty,
)
from bequest.losses.tracking import soft_mota_loss
from bequest.ops.assignment import assignment_matrix, pad_problems

SOFT = torch.tensor([[[0.8, 0.3], [0.1, 0.6]]])
TARGET = torch.tensor([[[True, False], [False, True]]])
PROBLEMS = pad_problems([torch.tensor([[0.2, 0.5], [0.7, 0.1]])])


def test_focal_loss_by_hand():
    kept = torch.tensor([[[True, True], [False, True]]])
    found = focal_assignment_loss(SOFT, TARGET, kept, torch.tensor([4]))
    terms = [
        0.75 * 0.2**2 * math.log(0.8),
        0.25 * 0.3**2 * math.log(0.7),
        0.75 * 0.4**2 * math.log(0.6),
    ]
    assert found.item() == pytest.approx(-sum(terms) / 3, abs=1e-6)


def test_a_sum_rounded_above_1_gives_no_nan():
    soft = torch.tensor([[[1 + 1e-6]]], requires_grad=True)
    kept = torch.tensor([[[True]]])
    for target in (True, False):
        loss = focal_assignment_loss(soft, torch.tensor([[[target]]]), kept, torch.tensor([2]))
        loss.sum().backward()
        assert loss.isfinite().all()
    assert soft.grad.isfinite().all()


def test_penalties_by_hand():
    rows, columns = (0.1**2 + 0.3**2) / 2, (0.1**2 + 0.1**2) / 2
    expected = math.log(1 + rows) + math.log(1 + columns)
    assert sum_penalty(SOFT, TARGET, PROBLEMS).item() == pytest.approx(expected, abs=1e-6)
    norms = [(math.hypot(*pair) - 1) ** 2 for pair in [(0.8, 0.3), (0.1, 0.6), (0.8, 0.1),
                                                       (0.3, 0.6)]]  # fmt: skip
    found = sparsity_penalty(SOFT, TARGET, PROBLEMS).item()
    assert found == pytest.approx(sum(norms) / 2, abs=1e-6)


def test_the_excess_cost():
    excess = 0.8 * 0.2 + 0.3 * 0.5 + 0.1 * 0.7 + 0.6 * 0.1 - 0.3
    assert cost_gap_loss(SOFT, TARGET, PROBLEMS.costs).item() == pytest.approx(excess**2, abs=1e-6)


def test_all_are_0_at_the_target_and_do_not_see_padding():
    problems = pad_problems([torch.rand(3, 3), torch.rand(2, 2)])
    target = assignment_matrix(torch.tensor([[2, 0, 1], [1, 0, -1]]), 3)
    soft = target.float()
    assert focal_assignment_loss(soft, target, problems.mask, torch.tensor([3, 2])).abs().max() < (
        1e-6
    )
    for loss in (
        sum_penalty(soft, target, problems),
        sparsity_penalty(soft, target, problems),
        cost_gap_loss(soft, target, problems.costs),
    ):
        assert loss.abs().max() < 1e-12
    alone = pad_problems([problems.values[1, :2, :2]])
    blurred = 0.7 * soft
    for penalty in (sum_penalty, sparsity_penalty):
        together = penalty(blurred, target, problems)[1]
        torch.testing.assert_close(
            together, penalty(blurred[1:, :2, :2], target[1:, :2, :2], alone)[0]
        )


def test_gradients_are_finite_at_hard_answers():
    soft = TARGET.float().requires_grad_()
    loss = sum_penalty(soft, TARGET, PROBLEMS) + sparsity_penalty(soft, TARGET, PROBLEMS)
    loss.sum().backward()
    assert soft.grad.isfinite().all()


def test_mota_of_a_perfect_a_switched_and_an_empty_answer():
    distances = pad_problems([torch.zeros(2, 2)])
    options = {"sharpness": 50.0}
    perfect = soft_mota_loss(distances, TARGET.float(), TARGET, **options)
    assert perfect.item() == pytest.approx(0.0, abs=1e-4)
    switched = soft_mota_loss(distances, TARGET.flip(1).float(), TARGET, **options)
    assert switched.item() == pytest.approx(2.0, abs=1e-3)  # two switches of weight 2, two objects
    empty = soft_mota_loss(distances, torch.zeros(1, 2, 2), TARGET, **options)
    assert empty.item() == pytest.approx(2.0, abs=1e-3)  # two false positives and two misses


def test_distances_of_matches_count_five_times():
    distances = pad_problems([torch.tensor([[0.2, 0.9], [0.9, 0.4]])])
    loss = soft_mota_loss(distances, TARGET.float(), TARGET, sharpness=50.0)
    assert loss.item() == pytest.approx(5 * 0.3, abs=1e-3)


def test_mota_does_not_see_padding():
    small = pad_problems([torch.full((1, 2), 0.3)])
    padded = pad_problems([torch.full((1, 2), 0.3), torch.full((3, 3), 0.3)]).take(
        torch.tensor([0])
    )
    soft = torch.tensor([[[0.7, 0.2]]])
    previous = soft > 0.5
    torch.testing.assert_close(
        soft_mota_loss(small, soft, previous), soft_mota_loss(padded, soft, previous)
    )
