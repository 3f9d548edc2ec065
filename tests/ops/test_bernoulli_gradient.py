"""The ARM estimator against enumeration of all bits."""

from __future__ import annotations

import itertools

import pytest
import torch

from bequest.ops.bernoulli_gradient import arm_gradient

LOGITS = torch.tensor([0.7, -1.3], dtype=torch.float64)


def black_box(bits):
    """Any loss: no gradient could pass through it."""
    return {(0, 0): 1.0, (0, 1): -2.0, (1, 0): 0.5, (1, 1): 4.0}[tuple(map(int, bits.tolist()))]


def enumerated(loss, logits):
    """The gradient of `sum over z of p(z) loss(z)`, by automatic differentiation of p alone."""
    logits = logits.clone().requires_grad_()
    expectation = torch.zeros((), dtype=torch.float64)
    for state in itertools.product([0, 1], repeat=len(logits)):
        bits = torch.tensor(state, dtype=torch.float64)
        probability = torch.where(bits > 0, logits.sigmoid(), (-logits).sigmoid()).prod()
        expectation = expectation + probability * loss(bits)
    (gradient,) = torch.autograd.grad(expectation, logits)
    return gradient


def averaged(loss, logits, *, cells=200, group=None):
    """The estimator's mean over a fine grid of `u`: an integral, nothing is drawn."""
    middles = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    total = torch.zeros_like(logits)
    for first in middles:
        for second in middles:
            total += arm_gradient(loss, logits, torch.stack([first, second]), group=group)
    return total / cells**2


def test_it_is_unbiased():
    found = averaged(lambda bits: torch.tensor(black_box(bits)), LOGITS, cells=120)
    torch.testing.assert_close(found, enumerated(black_box, LOGITS), atol=5e-3, rtol=0)


def test_with_groups_each_bit_is_credited_with_its_groups_loss():
    """Two groups of one bit; a value that both share is in each of their losses once."""
    shares = torch.tensor([3.0, -1.0], dtype=torch.float64)

    def losses(bits):
        return shares * bits + bits.prod()

    def total(bits):
        return (shares * bits).sum() + bits.prod()

    group = torch.tensor([0, 1])
    found = averaged(lambda bits: losses(bits.double()), LOGITS, cells=120, group=group)
    torch.testing.assert_close(found, enumerated(total, LOGITS), atol=5e-3, rtol=0)


def test_one_sample_by_hand():
    """u = (.9, .2) at logits 0: the first bits are (1, 0), the second (0, 1)."""
    uniform = torch.tensor([0.9, 0.2])
    found = arm_gradient(lambda bits: torch.tensor(black_box(bits)), torch.zeros(2), uniform)
    torch.testing.assert_close(found, (0.5 - -2.0) * torch.tensor([0.4, -0.3]))


@pytest.mark.parametrize("logit", [-30.0, 30.0])
def test_bits_that_are_decided_have_no_gradient(logit):
    logits, uniform = torch.full((4,), logit), torch.tensor([0.01, 0.4, 0.6, 0.99])
    found = arm_gradient(lambda bits: bits.float().sum(), logits, uniform)
    assert torch.equal(found, torch.zeros(4))
