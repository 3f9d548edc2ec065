"""Distillation losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.losses import distillation, inversion


def test_kl_by_hand() -> None:
    teacher = torch.tensor([[math.log(0.7), math.log(0.3)]])
    student = torch.tensor([[math.log(0.4), math.log(0.6)]])
    expected = 0.7 * math.log(0.7 / 0.4) + 0.3 * math.log(0.3 / 0.6)
    assert distillation.kl_divergence(student, teacher).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_kl_at_a_temperature_is_the_loop_over_classes(temperature: float) -> None:
    rng = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 4, generator=rng) * 3 for _ in range(2))
    ours = distillation.kl_divergence(student, teacher, temperature=temperature)
    for row in range(5):
        p = [math.exp(v / temperature) for v in teacher[row].tolist()]
        q = [math.exp(v / temperature) for v in student[row].tolist()]
        p, q = [v / sum(p) for v in p], [v / sum(q) for v in q]
        expected = temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q))
        assert ours[row].item() == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_kl_is_zero_and_flat_where_both_agree() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    student = logits.clone().requires_grad_()
    loss = distillation.kl_divergence(student, logits, temperature=3.0)
    loss.sum().backward()
    assert loss.abs().max() < 1e-5
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-5


def test_high_temperature_keeps_the_size_of_the_gradient() -> None:
    # For T to infinity the gradient is (student - teacher, centred) / classes.
    rng = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 3, 6, generator=rng)
    student.requires_grad_()
    distillation.kl_divergence(student, teacher, temperature=1e3).sum().backward()
    gap = student.detach() - teacher
    assert student.grad is not None
    torch.testing.assert_close(
        student.grad, (gap - gap.mean(1, keepdim=True)) / 6, rtol=2e-2, atol=1e-3
    )


def test_agreement_and_accuracy_count() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    b = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert distillation.agreement(a, b).item() == 0.5
    assert distillation.accuracy(a, torch.tensor([0, 1, 1, 1])).item() == 0.75


def test_balance_is_the_negative_entropy_of_the_mean() -> None:
    certain = torch.tensor([[50.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    spread = 50 * torch.eye(3)
    assert inversion.class_balance_loss(certain).item() == pytest.approx(0.0, abs=1e-4)
    assert inversion.class_balance_loss(spread).item() == pytest.approx(-math.log(3), rel=1e-4)


def test_one_hot_is_the_cross_entropy_to_the_own_class() -> None:
    logits = torch.tensor([[math.log(0.6), math.log(0.4)], [math.log(0.1), math.log(0.9)]])
    expected = [-math.log(0.6), -math.log(0.9)]
    assert inversion.one_hot_loss(logits).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_adversary_leaves_out_samples_that_are_wrong_already() -> None:
    teacher = torch.tensor([[2.0, 0.0], [2.0, 0.0]])
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    each = distillation.kl_divergence(student, teacher)
    both = inversion.adversarial_loss(student, teacher)
    first = inversion.adversarial_loss(student, teacher, agreeing_only=True)
    assert both.item() == pytest.approx(-each.mean().item())
    assert first.item() == pytest.approx(-each[0].item() / 2)


def test_activation_rewards_size_whatever_the_sign() -> None:
    features = torch.tensor([[1.0, -3.0]])
    assert inversion.activation_loss(features).item() == -2.0
