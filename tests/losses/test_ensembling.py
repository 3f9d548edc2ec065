"""The closed form against the propagation that it is the limit of."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.ensembling import affinities, ensembled_logits


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    vectors = F.normalize(torch.randn(9, 6, generator=rng), dim=1)
    return torch.randn(9, 4, generator=rng), vectors


def test_rows_of_the_affinities_sum_to_one_and_the_diagonal_stays() -> None:
    _, vectors = batch()
    a = affinities(vectors)
    torch.testing.assert_close(a.sum(1), torch.ones(9))
    # Entry by entry, from the definition.
    expected = torch.zeros(9, 9)
    for i in range(9):
        for j in range(9):
            expected[i, j] = (vectors[i] @ vectors[j] - (0.1 if i == j else 0.0)).exp()
    torch.testing.assert_close(a, expected / expected.sum(1, keepdim=True))
    assert (a.diagonal() > 0).all()


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.7])
def test_the_target_is_the_limit_of_the_propagation(weight: float) -> None:
    logits, vectors = batch()
    a = affinities(vectors)
    target = logits
    for _ in range(200):
        target = weight * a @ target + (1 - weight) * logits
    torch.testing.assert_close(ensembled_logits(logits, vectors, weight=weight), target)


def test_each_target_is_a_weighted_mean_of_the_batch() -> None:
    _, vectors = batch()
    # The weights themselves: what comes out for the unit vectors.
    weights = ensembled_logits(torch.eye(9), vectors, weight=0.3)
    torch.testing.assert_close(weights.sum(1), torch.ones(9))
    assert (weights > 0).all()


def test_the_target_carries_no_gradient() -> None:
    logits, vectors = batch()
    out = ensembled_logits(logits.requires_grad_(), vectors.requires_grad_())
    assert not out.requires_grad


@pytest.mark.parametrize(
    ("logits", "vectors", "weight"),
    [((3, 2), (4, 2), 0.1), ((3,), (3, 2), 0.1), ((3, 2), (3, 2), 1.0)],
)
def test_what_does_not_fit_is_refused(logits: tuple, vectors: tuple, weight: float) -> None:
    with pytest.raises(InputError, match="weight in"):
        ensembled_logits(torch.zeros(logits), torch.zeros(vectors), weight=weight)
