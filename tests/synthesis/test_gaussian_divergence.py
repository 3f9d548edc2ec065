from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.synthesis.statistics import BatchNormStatistics, gaussian_divergence


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def integrated(mean, var, running_mean, running_var):
    """`KL` of two normal distributions by numerical integration of `p log(p / q)`."""
    x = torch.linspace(-60, 60, 200_001, dtype=torch.float64)

    def log_density(m, v):
        return -((x - m) ** 2) / (2 * v) - 0.5 * math.log(2 * math.pi * v)

    log_p, log_q = log_density(mean, var), log_density(running_mean, running_var)
    return torch.trapezoid(log_p.exp() * (log_p - log_q), x).item()


def test_it_is_the_divergence_of_two_normal_distributions():
    mean, running_mean = draw(5), draw(1, 5)[0]
    var, running_var = draw(2, 5)[0].square() + 0.1, draw(3, 5)[0].square() + 0.1
    rows = zip(*(values.tolist() for values in (mean, var, running_mean, running_var)))
    ours = gaussian_divergence(mean, var, running_mean, running_var, eps=0.0)
    assert ours.tolist() == pytest.approx([integrated(*row) for row in rows], rel=1e-4)


def test_equal_statistics_and_dead_channels_have_no_divergence_and_no_gradient():
    var = torch.tensor([2.0, 0.0], requires_grad=True)
    mean = torch.tensor([0.5, 0.0], requires_grad=True)
    divergence = gaussian_divergence(mean, var, mean.detach(), var.detach())
    divergence.sum().backward()
    assert divergence.abs().max() < 1e-6
    assert var.grad.eq(0).all()
    assert mean.grad.eq(0).all()


def test_the_teachers_layers_are_compared_channel_by_channel():
    torch.manual_seed(0)
    teacher = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)
    )
    teacher(draw(16, 1, 8, 8))  # running statistics of their own
    teacher.eval()
    images = 2 * draw(8, 1, 8, 8)
    expected = 0.0
    activation = images
    for layer in teacher:
        if isinstance(layer, nn.BatchNorm2d):
            for channel in range(layer.num_features):
                values = activation[:, channel].flatten()
                expected += integrated(
                    values.mean().item(),
                    values.var(correction=0).item() + 1e-5,
                    layer.running_mean[channel].item(),
                    layer.running_var[channel].item() + 1e-5,
                )
        activation = layer(activation)
    with BatchNormStatistics(teacher) as statistics:
        teacher(images)
        assert statistics.divergence().item() == pytest.approx(expected, rel=1e-4)
        with pytest.raises(InputError, match="once before each"):
            statistics.divergence()
