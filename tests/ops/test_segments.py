"""Softmax and sums by segment, against one segment at a time."""

from __future__ import annotations

import torch

from bequest.ops.segments import segment_softmax, segment_sum


def test_softmax_of_each_segment():
    logits = torch.tensor([3.0, 1.0, 100.0, -2.0, 0.5, -torch.inf, -torch.inf])
    index = torch.tensor([0, 2, 0, 2, 2, 2, 3])
    shares = segment_softmax(logits, index, count=5)
    for segment in (0, 2):
        own = index == segment
        torch.testing.assert_close(shares[own], logits[own].softmax(0))
    assert shares[6] == 0  # all of segment 3 is out


def test_sum_of_each_segment():
    rows = torch.arange(6.0).view(3, 2)
    summed = segment_sum(rows, torch.tensor([1, 0, 1]), count=3)
    assert summed.tolist() == [[2.0, 3.0], [4.0, 6.0], [0.0, 0.0]]
