"""Overlap, distance and motion of boxes by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.ops.boxes import PAIR_FEATURES, pair_distance, pair_features, pair_iou, predict_boxes

BOX = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
OTHERS = torch.tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 10.0, 10.0], [30.0, 40.0, 10.0, 10.0]])


def test_overlap():
    assert pair_iou(BOX, OTHERS)[0].tolist() == pytest.approx([1.0, 50 / 150, 0.0])


def test_the_published_distance():
    far = 0.5 * (1 - math.exp(-5 * 50 / 100)) + 0.5
    near = 0.5 * (1 - math.exp(-5 * 5 / 100)) + 0.5 * (1 - 1 / 3)
    assert pair_distance(BOX, OTHERS, 100.0)[0].tolist() == pytest.approx([0.0, near, far])


def test_a_box_goes_on_as_it_went():
    last, previous = BOX + torch.tensor([[4.0, 2.0, 0.0, 0.0]]), BOX
    moved = predict_boxes(last, previous, torch.tensor([3]), torch.tensor([2]))
    assert moved.tolist() == [[10.0, 5.0, 10.0, 10.0]]


def test_features_lie_between_0_and_1_and_begin_with_the_distance():
    features = pair_features(BOX, BOX + 2, torch.tensor([2]), OTHERS, 100.0)
    assert features.shape == (1, 3, PAIR_FEATURES)
    assert ((features >= 0) & (features <= 1)).all()
    torch.testing.assert_close(features[..., 0], pair_distance(BOX, OTHERS, 100.0))
    assert features[0, 0].tolist() == pytest.approx(
        [0.0, 0.0, 1 - 64 / 180, 0.0, 0.0, 0.0, 0.0, 0.4], abs=1e-6
    )
