"""Tracking scores as losses: MOTA and MOTP of a soft assignment.

Xu et al., "How To Train Your Deep Multi-Object Tracker" (DeepMOT), CVPR 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.ops.assignment import PairBatch


def soft_mota_loss(
    problems: PairBatch,
    soft: Tensor,
    previous: Tensor,
    *,
    threshold: float = 0.5,
    sharpness: float = 10.0,
    switch_weight: float = 2.0,
    distance_weight: float = 5.0,
) -> Tensor:
    """`(1 - dMOTA) + lambda (1 - dMOTP)` over a batch of frames.

    Beside a track's entries stands the threshold: its share of a softmax is how far the track is a
    false positive; likewise for objects, which are missed. Matches that are not `previous` ones
    are identity switches.

        1 - dMOTA = (FP + FN + gamma IDS) / M,      1 - dMOTP = mean distance of the matches

    Args:
        problems: Distances in [0, 1], tracks by objects; M counts the objects.
        soft: The soft assignment of each frame, `(batch, rows, columns)`.
        previous: Which tracks held which object before, bool, of the same shape; a track and an
            object without such a partner cannot be switched.
        threshold: The entry for no match.
        sharpness: Factor before the softmax; chosen, 1 would leave shares near uniform.
        switch_weight: gamma, as in DeepMOT.
        distance_weight: lambda, as in DeepMOT.

    Returns:
        A scalar.
    """
    mask = problems.mask
    rows, columns = mask.any(2), mask.any(1)
    scores = (sharpness * soft).masked_fill(~mask, -torch.inf)
    border = sharpness * threshold
    of_tracks = F.pad(scores, (0, 1), value=border).softmax(2)
    of_objects = F.pad(scores, (0, 0, 0, 1), value=border).softmax(1)
    false_positives = (of_tracks[:, :, -1] * rows).sum()
    misses = (of_objects[:, -1] * columns).sum()
    matches = of_objects[:, :-1] * mask
    known = previous.any(2)[:, :, None] & previous.any(1)[:, None]
    switches = (matches * (known & ~previous)).sum()
    count = columns.sum()
    error = (false_positives + misses + switch_weight * switches) / count
    distance = (matches * problems.costs).sum() / matches.sum().clamp_min(1e-6)
    return error + distance_weight * distance
