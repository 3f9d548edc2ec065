"""The loss against its formula, sample by sample; weights without a gradient."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.losses.self_adversarial import self_adversarial_loss


def log_sigmoid(value):
    return -math.log1p(math.exp(-value))


@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
def test_the_formula(temperature):
    positive, negative = [1.0, -2.0], [[0.5, -1.0, 2.0], [0.0, 0.0, -3.0]]
    losses = self_adversarial_loss(
        torch.tensor(positive), torch.tensor(negative), temperature=temperature
    )
    for loss, true, false in zip(losses.tolist(), positive, negative, strict=True):
        weights = [math.exp(temperature * score) for score in false]
        mean = sum(w * log_sigmoid(-s) for w, s in zip(weights, false)) / sum(weights)
        assert loss == pytest.approx(-(log_sigmoid(true) + mean) / 2, rel=1e-5)


def test_the_shares_carry_no_gradient():
    negative = torch.tensor([[0.5, -1.0, 2.0]], requires_grad=True)
    self_adversarial_loss(torch.zeros(1), negative, temperature=1.0).sum().backward()
    shares = negative.detach().softmax(1)
    torch.testing.assert_close(negative.grad, shares * negative.detach().sigmoid() / 2)
