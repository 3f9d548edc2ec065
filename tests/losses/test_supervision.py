from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.losses.supervision import (
    intermediate_loss,
    ramp_weights,
    relative_error,
)
from bequest.nn import cost


def test_weights_rise_to_one_plus_the_slope():
    assert ramp_weights(4, 0.0) == [1, 1, 1, 1]
    assert ramp_weights(4, 3.0) == [1.75, 2.5, 3.25, 4]


@pytest.mark.parametrize(
    ("distance", "of"),
    [
        ("l1", abs),
        ("mse", lambda d: d * d),
        ("huber", lambda d: d * d / 2 if abs(d) <= 0.06 else 0.06 * (abs(d) - 0.03)),
        ("smooth-l1", lambda d: d * d / 0.12 if abs(d) < 0.06 else abs(d) - 0.03),
    ],
)
def test_the_loss_is_a_weighted_sum_of_means(distance, of):
    rng = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 2, 2), (2, 5, 1, 1)]
    ours = [0.1 * torch.randn(shape, generator=rng) for shape in shapes]
    theirs = [0.1 * torch.randn(shape, generator=rng) for shape in shapes]
    expected = 0.0
    for weight, a, b in zip((1.5, 2.0), ours, theirs):
        gaps = [of(x - y) for x, y in zip(a.flatten().tolist(), b.flatten().tolist())]
        expected += weight * sum(gaps) / len(gaps)
    loss = intermediate_loss(ours, theirs, (1.5, 2.0), distance=distance)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_only_the_learning_network_gets_a_gradient_and_low_precision_is_summed_in_full():
    ours = torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True)
    theirs = torch.zeros(2, 3, dtype=torch.bfloat16)
    loss = intermediate_loss([ours], [theirs], [1.0])
    assert loss.dtype == torch.float32
    loss.backward()
    assert ours.grad.float().flatten().tolist() == pytest.approx([1 / 6] * 6, rel=1e-2)


@pytest.mark.parametrize(
    ("ours", "weights"),
    [([(2, 3)], [1.0, 1.0]), ([(2, 4)], [1.0]), ([(2, 3), (2, 3)], [1.0, 1.0]), ([], [])],
)
def test_maps_that_do_not_fit_are_refused(ours, weights):
    with pytest.raises(InputError, match="are needed"):
        intermediate_loss([torch.zeros(shape) for shape in ours], [torch.zeros(2, 3)], weights)


def test_relative_error():
    assert relative_error(torch.tensor([1.0, 2]), torch.tensor([2.0, 2])).item() == 0.25


def test_costs_of_a_convolution():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Flatten())
    images = torch.rand(2, 3, 8, 8)
    assert cost.parameters(network) == 3 * 4 * 9
    assert cost.multiply_accumulates(network, images) == 3 * 4 * 9 * 64
    times = cost.latencies({"a": network, "b": network}, images, repeats=3, warmup=1)
    assert set(times) == {"a", "b"}
    assert min(times.values()) > 0
    assert network.training
