"""NT-Xent against a loop over anchors."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.contrastive import nt_xent


def test_against_a_loop() -> None:
    rng = torch.Generator().manual_seed(0)
    first, second = (F.normalize(torch.randn(5, 3, generator=rng), dim=1) for _ in range(2))
    views = [*first, *second]
    expected = []
    for i, anchor in enumerate(views):
        scores = [math.exp(float(anchor @ other) / 0.3) for other in views]
        positive = scores[(i + 5) % 10]
        expected.append(-math.log(positive / (sum(scores) - scores[i])))
    losses = nt_xent(first, second, temperature=0.3)
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)


def test_two_pairs_by_hand() -> None:
    axes = torch.eye(2)
    # Positive cosine 1, negatives 0 and 0: -log(e / (e + 2)).
    assert nt_xent(axes, axes, temperature=1.0).tolist() == pytest.approx(
        [math.log(1 + 2 / math.e)] * 4
    )


def test_order_of_the_images_does_not_matter_and_gradients_flow_to_both() -> None:
    rng = torch.Generator().manual_seed(1)
    first, second = (torch.randn(6, 4, generator=rng).requires_grad_() for _ in range(2))
    loss = nt_xent(first, second).mean()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    assert nt_xent(second[order], first[order]).mean().item() == pytest.approx(
        loss.item(), rel=1e-5
    )
    loss.backward()
    assert first.grad.abs().min() > 0
    assert second.grad.abs().min() > 0


def test_bad_input() -> None:
    for arguments in ((torch.zeros(2, 3), torch.zeros(3, 3), 0.5), (*[torch.zeros(2, 3)] * 2, 0.0)):
        with pytest.raises(InputError, match="temperature"):
            nt_xent(*arguments[:2], temperature=arguments[2])
