"""Scaling to sums: hand-computed values, a loop as oracle, both ways, rectangles, slack."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.sinkhorn import gumbel_noise, pair_mask, scale_kernel, scale_log_kernel, sinkhorn


def sizes(*numbers):
    return torch.tensor(numbers)


def plain(matrix, rounds):
    """Five lines that anybody would write: rows, then columns."""
    matrix = matrix.clone()
    for _ in range(rounds):
        matrix = matrix / matrix.sum(1, keepdim=True)
        matrix = matrix / matrix.sum(0, keepdim=True)
    return matrix


def test_one_round_by_hand():
    kernel = torch.tensor([[[1.0, 3.0], [1.0, 1.0]]])
    # Rows: 1/4 3/4 and 1/2 1/2; columns sum to 3/4 and 5/4.
    expected = torch.tensor([[[1 / 3, 3 / 5], [2 / 3, 2 / 5]]])
    torch.testing.assert_close(scale_kernel(kernel, sizes(2), sizes(2), iterations=1), expected)


@pytest.mark.parametrize("rounds", [1, 5])
def test_ragged_squares_are_those_scaled_alone(rounds):
    kernel = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    counts = sizes(6, 2, 4)
    scaled = scale_kernel(kernel, counts, counts, iterations=rounds)
    for place, n in enumerate(counts.tolist()):
        torch.testing.assert_close(scaled[place, :n, :n], plain(kernel[place, :n, :n], rounds))
        assert scaled[place, n:].eq(0).all()
        assert scaled[place, :, n:].eq(0).all()


@pytest.mark.parametrize(("height", "width"), [(2, 5), (5, 2)])
def test_a_rectangle_is_a_square_filled_with_equal_rows(height, width):
    kernel = torch.rand(1, height, width, generator=torch.Generator().manual_seed(1))
    scaled = scale_kernel(kernel, sizes(height), sizes(width), iterations=300)
    square = torch.ones(5, 5)
    square[:height, :width] = kernel[0]
    torch.testing.assert_close(scaled[0], plain(square, 300)[:height, :width])
    shorter = scaled[0].sum(1 if height < width else 0)
    torch.testing.assert_close(shorter, torch.ones(2))
    assert scaled[0].sum(0 if height < width else 1).max() <= 1 + 1e-5


def test_slack_leaves_what_costs_more_than_it():
    scores = torch.tensor([[[-0.1, -0.9], [-0.9, -0.9]]])
    soft = sinkhorn(scores, sizes(2), sizes(2), temperature=0.02, iterations=300, slack=-0.5)
    torch.testing.assert_close(soft[0], torch.tensor([[1.0, 0.0], [0.0, 0.0]]), atol=1e-2, rtol=0)


@pytest.mark.parametrize("slack", [None, -0.3])
def test_both_ways_give_the_same(slack):
    scores = -torch.rand(4, 5, 7, generator=torch.Generator().manual_seed(2))
    rows, columns = sizes(5, 3, 5, 1), sizes(7, 3, 2, 4)
    options = {"iterations": 20, "slack": None if slack is None else slack / 0.05}
    kernel = sinkhorn(scores, rows, columns, temperature=0.05, iterations=20, slack=slack)
    logs = scale_log_kernel(scores / 0.05, rows, columns, **options)
    torch.testing.assert_close(kernel, logs, atol=1e-5, rtol=1e-4)


def test_cold_scores_take_the_logarithmic_way_and_stay_finite():
    scores = torch.tensor([[[0.0, -1.0], [-1.0, -0.3]]], requires_grad=True)
    soft = sinkhorn(scores, sizes(2), sizes(2), temperature=1e-3, iterations=50)
    torch.testing.assert_close(soft[0].detach(), torch.eye(2))
    soft[0, 0, 0].backward()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("slack", [None, -0.4])
@pytest.mark.parametrize("temperature", [0.3, 0.005])
def test_gradients_are_those_of_differences(slack, temperature):
    scores = -torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    scores = (scores * 0.02 if temperature < 0.1 else scores).requires_grad_()
    rows, columns = sizes(3, 2), sizes(4, 2)

    def soft(values):
        options = {"temperature": temperature, "iterations": 4, "slack": slack}
        return sinkhorn(values, rows, columns, **options) * pair_mask(rows, columns, 3, 4)

    assert torch.autograd.gradcheck(soft, (scores,), atol=1e-4)


def test_noise_is_gumbels_and_repeats():
    noise = gumbel_noise((200, 200), torch.Generator().manual_seed(0))
    again = gumbel_noise((200, 200), torch.Generator().manual_seed(0))
    assert torch.equal(noise, again)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.var().item() == pytest.approx(torch.pi**2 / 6, rel=0.03)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(InputError, match="temperature is 0"):
        sinkhorn(torch.zeros(1, 2, 2), sizes(2), sizes(2), temperature=0)
