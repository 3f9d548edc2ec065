"""Distillation losses of pixels: those of samples, pixel by pixel."""

from __future__ import annotations

import pytest
import torch

from bequest.losses.distillation import kl_divergence, per_sample, top_probability
from bequest.losses.inversion import adversarial_loss


def logits(seed: int) -> torch.Tensor:
    return 2 * torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_kl_of_pixels_by_hand(temperature: float) -> None:
    student, teacher = logits(0), logits(1)
    ours = kl_divergence(student, teacher, temperature=temperature)
    assert ours.shape == (2, 3, 5)
    for image in range(2):
        total = 0.0
        for row in range(3):
            for column in range(5):
                p = torch.softmax(teacher[image, :, row, column].double() / temperature, 0)
                q = torch.softmax(student[image, :, row, column].double() / temperature, 0)
                one = temperature**2 * sum(p[c] * (p[c].log() - q[c].log()) for c in range(4))
                assert ours[image, row, column].item() == pytest.approx(one.item(), rel=1e-4)
                total += one.item()
        assert per_sample(ours)[image].item() == pytest.approx(total / 15, rel=1e-4)


def test_pixels_as_samples_give_the_same() -> None:
    flat = [x.permute(0, 2, 3, 1).reshape(-1, 4) for x in (logits(0), logits(1))]
    ours = kl_divergence(logits(0), logits(1))
    torch.testing.assert_close(ours.flatten(), kl_divergence(*flat))
    torch.testing.assert_close(
        adversarial_loss(logits(0), logits(1), agreeing_only=True),
        adversarial_loss(*flat, agreeing_only=True),
    )
    for dense, sample in zip(top_probability(logits(0)), top_probability(flat[0])):
        torch.testing.assert_close(dense.flatten(), sample)


def test_one_value_a_sample_stays_as_it_is() -> None:
    values = torch.rand(3)
    assert per_sample(values) is values
