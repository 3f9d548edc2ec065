"""The smooth step and the gap between two groups, by hand and by another way of computing them."""

from __future__ import annotations

import pytest
import torch
from scipy.special import eval_legendre

from bequest.errors import InputError
from bequest.losses.fairness import SoftGroupGap, legendre_step, sigmoid_step, soft_group_gap


def test_the_authors_step_at_the_ends_and_in_the_middle():
    values = legendre_step(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))
    # By hand: P_k(1) = 1, so a(1) = 1/2 + 1/2 - 1/8 + 1/16 - 5/128 + 7/256.
    assert values.tolist() == pytest.approx([0.07421875, 0.5, 0.92578125], abs=1e-12)


def test_the_step_is_the_sum_of_legendre_polynomials():
    p = torch.linspace(0, 1, 41, dtype=torch.float64)
    x = (2 * p - 1).numpy()
    expected = 0.5 + 0.5 * x
    for degree, factor in ((3, -1 / 8), (5, 1 / 16), (7, -5 / 128), (9, 7 / 256)):
        expected = expected + factor * eval_legendre(degree, x)
    assert legendre_step(p).numpy() == pytest.approx(expected, abs=1e-12)
    # No expansion of a step: that would overshoot.
    assert legendre_step(p).max() < 0.93


@pytest.mark.parametrize("step", [legendre_step, sigmoid_step])
def test_steps_are_odd_about_one_half_and_about_as_steep_there(step):
    p = torch.tensor([0.1, 0.3, 0.45])
    assert torch.allclose(step(p) + step(1 - p), torch.ones(3), atol=1e-6)
    middle = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    step(middle).backward()
    assert middle.grad.item() == pytest.approx(1.95, abs=0.06)


def naive_gap(probabilities, sensitive, labels=None):
    """The definition, node by node."""
    total = 0.0
    for c in range(probabilities.shape[1]):
        means = []
        for group in (0, 1):
            own = [
                legendre_step(probabilities[v, c]).item()
                for v in range(len(probabilities))
                if sensitive[v] == group and (labels is None or labels[v] == 1)
            ]
            means.append(sum(own) / len(own))
        total += (means[0] - means[1]) ** 2
    return total


def example():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    return logits.softmax(1), torch.arange(12) % 2, (torch.arange(12) % 3 > 0).long()


def test_the_gap_is_that_of_the_definition():
    probabilities, sensitive, labels = example()
    gap = soft_group_gap(probabilities, sensitive).item()
    assert gap == pytest.approx(naive_gap(probabilities, sensitive), rel=1e-9)
    gap = soft_group_gap(probabilities, sensitive, labels).item()
    assert gap == pytest.approx(naive_gap(probabilities, sensitive, labels), rel=1e-9)
    where = torch.arange(12) < 8
    gap = SoftGroupGap(sensitive, where=where, labels=labels)(probabilities).item()
    assert gap == pytest.approx(naive_gap(probabilities[:8], sensitive[:8], labels[:8]), rel=1e-9)


def test_equal_groups_have_no_gap_whatever_their_names_and_order():
    probabilities, sensitive, _ = example()
    assert soft_group_gap(probabilities[:1].expand(12, -1), sensitive).item() == 0
    gap = soft_group_gap(probabilities, sensitive)
    assert torch.allclose(soft_group_gap(probabilities, 1 - sensitive), gap)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(soft_group_gap(probabilities[order], sensitive[order]), gap)


def test_the_gradient_is_that_of_differences():
    probabilities, sensitive, _ = example()
    probabilities.requires_grad_()
    assert torch.autograd.gradcheck(SoftGroupGap(sensitive), probabilities)


def test_what_has_no_gap_is_refused_when_it_is_built():
    with pytest.raises(InputError, match="with one group"):
        SoftGroupGap(torch.zeros(4))
    with pytest.raises(InputError, match="Group 1 is empty among the 2 samples"):
        SoftGroupGap(torch.tensor([0, 0, 1, 1]), labels=torch.tensor([1, 1, 0, 0]))
    with pytest.raises(InputError, match="no step 'sigmod'"):
        SoftGroupGap(torch.tensor([0, 1]), step="sigmod")
