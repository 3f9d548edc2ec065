"""Preview weights by hand: the threshold, the step at it, and what they are compared with."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.errors import InputError
from bequest.losses.preview import (
    focal_weights,
    preview_threshold,
    preview_weights,
    relative_difficulty,
    self_paced_weights,
)


def test_the_threshold_is_the_published_one() -> None:
    final = 1.005**240
    assert final == pytest.approx(3.31, abs=0.005)
    for epoch in (1, 30, 240):
        assert preview_threshold(epoch / 240, final=final) == pytest.approx(1.005**epoch)
    assert preview_threshold(0.0) == 1
    assert preview_threshold(1.0) == 3.31


def test_a_threshold_that_falls_is_refused() -> None:
    with pytest.raises(InputError, match=r"0\.9"):
        preview_threshold(0.5, final=0.9)


def test_weights_by_hand() -> None:
    losses = torch.tensor([0.0, 1.0, 2.0, 5.0])
    difficulty = relative_difficulty(losses)
    assert difficulty.tolist() == [0, 0.5, 1, 2.5]
    weights = preview_weights(difficulty, 1.0)
    assert weights.tolist() == pytest.approx([1, 1, 1, math.exp(-6.25)])
    assert preview_weights(difficulty, 2.5).tolist() == [1, 1, 1, 1]
    assert self_paced_weights(difficulty, 1.0).tolist() == [1, 1, 1, 0]


def test_just_above_the_first_threshold_a_sample_gets_its_published_weight() -> None:
    weights = preview_weights(torch.tensor([1.0049, 1.0051]), preview_threshold(1 / 240))
    assert weights[0].item() == pytest.approx(1, abs=0)
    assert weights[1].item() == pytest.approx(0.364, abs=5e-4)


@pytest.mark.parametrize("loss", [0.0, 1e-30, 0.3, 7.0])
def test_equal_losses_all_count_fully(loss: float) -> None:
    difficulty = relative_difficulty(torch.full((7,), loss))
    assert preview_weights(difficulty, preview_threshold(1 / 240)).tolist() == [1] * 7


def test_the_gradient_rewards_hard_samples_unless_it_is_detached() -> None:
    losses = torch.tensor([1.0, 1.0, 4.0], requires_grad=True)
    preview_weights(relative_difficulty(losses), 1.1).sum().backward()
    assert losses.grad is not None
    assert losses.grad[2] < 0 < losses.grad[0]


def test_focal_weights_are_the_power_of_what_is_missing() -> None:
    probabilities = torch.tensor([1.0, 0.75, 0.1])
    weights = focal_weights(-probabilities.log())
    assert weights.tolist() == pytest.approx([0, 0.0625, 0.81], abs=1e-6)
