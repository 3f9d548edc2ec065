"""Figures of lists by hand, and against scikit-learn."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from sklearn.metrics import ndcg_score

from bequest.metrics.ranking import (
    diversity,
    hit_rate,
    hits_of,
    ndcg,
    number_of_targets,
    ranking_figures,
    recall,
)

RANKED = torch.tensor([[5, 2, 9, 1], [3, 4, 0, 0], [6, 7, 8, 9]])
TARGETS = torch.tensor([[2, 1, 8, 0], [0, 0, 0, 4], [6, 6, 7, 0]])


def test_hits_and_targets_leave_padding_out_and_count_repeats_once():
    assert hits_of(RANKED, TARGETS).int().tolist() == [[0, 1, 0, 1], [0, 1, 0, 0], [1, 1, 0, 0]]
    assert number_of_targets(TARGETS).tolist() == [3, 1, 2]


def test_figures_by_hand():
    hits, wanted = hits_of(RANKED, TARGETS), number_of_targets(TARGETS)
    assert recall(hits, wanted).tolist() == pytest.approx([2 / 3, 1, 1])
    assert hit_rate(hits).tolist() == [1, 1, 1]
    at = [1 / math.log2(place + 1) for place in range(1, 5)]
    expected = [(at[1] + at[3]) / sum(at[:3]), at[1] / at[0], 1.0]
    assert ndcg(hits, wanted).tolist() == pytest.approx(expected)
    # The ideal of the hits alone says nothing of the target that was missed.
    assert ndcg(hits, hits.sum(1))[0].item() == pytest.approx((at[1] + at[3]) / sum(at[:2]))


def test_no_hit_is_zero_and_not_nan():
    hits = torch.zeros(1, 4, dtype=torch.bool)
    assert ndcg(hits, torch.tensor([3])).item() == 0
    assert ndcg(hits, hits.sum(1)).item() == 0
    assert hit_rate(hits).item() == 0


def test_ndcg_is_scikit_learns():
    rng = torch.Generator().manual_seed(0)
    scores = torch.rand(20, 30, generator=rng)
    relevant = torch.rand(20, 30, generator=rng) < 0.2
    relevant[:, 0] = True
    ranked = scores.topk(10, dim=1).indices + 1
    targets = torch.arange(1, 31) * relevant
    ours = ndcg(hits_of(ranked, targets), number_of_targets(targets)).mean().item()
    assert ours == pytest.approx(ndcg_score(relevant.numpy(), scores.numpy(), k=10), rel=1e-5)


def test_diversity_is_the_share_of_pairs():
    categories = torch.tensor([0, 1, 1, 2, 0, 2, 1, 1, 2, 0])
    values = diversity(RANKED, categories).tolist()
    for row, value in zip(RANKED.tolist(), values):
        pairs = list(combinations([categories[item].item() for item in row if item], 2))
        assert value == pytest.approx(sum(a != b for a, b in pairs) / len(pairs))
    assert diversity(torch.tensor([[3, 0]]), categories).item() == 0  # no pair


def test_figures_are_means_in_percent():
    categories = torch.arange(10)
    figures = ranking_figures(RANKED, TARGETS, at=(1, 4), categories=categories)
    assert figures["hit_rate_1"] == pytest.approx(100 / 3)
    assert figures["recall_4"] == pytest.approx(100 * (2 / 3 + 2) / 3)
    assert figures["diversity_4"] == pytest.approx(100)
    assert set(figures) == {
        f"{name}_{number}"
        for name in ("recall", "ndcg", "hit_rate", "ndcg_of_hits", "diversity")
        for number in (1, 4)
    }
