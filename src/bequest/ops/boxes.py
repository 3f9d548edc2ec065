"""Boxes `(left, top, width, height)`: overlap, a motion guess, and the features of pairs."""

from __future__ import annotations

import torch
from torch import Tensor

PAIR_FEATURES = 8
"""How many `pair_features` gives."""


def pair_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of all pairs, `(first, second)` in [0, 1]; 0 for empty boxes.

    Args:
        first: `(first, 4)`.
        second: `(second, 4)`.
    """
    a, b = first[:, None], second[None]
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = (high - low).clamp_min(0).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - common
    return common / union.clamp_min(1e-9)


def pair_distance(first: Tensor, second: Tensor, diagonal: float) -> Tensor:
    """`(1 - exp(-5 |c_i - c_j| / diagonal)) / 2 + (1 - IoU) / 2` of all pairs, in [0, 1].

    Of DeepMOT (Xu et al., CVPR 2020); `c` is a box's centre, `diagonal` that of the picture.
    """
    centres = [boxes[:, :2] + boxes[:, 2:] / 2 for boxes in (first, second)]
    apart = torch.cdist(centres[0], centres[1]) / diagonal
    return 0.5 * (1 - torch.exp(-5 * apart)) + 0.5 * (1 - pair_iou(first, second))


def pair_features(
    predicted: Tensor, last: Tensor, lag: Tensor, boxes: Tensor, diagonal: float
) -> Tensor:
    """What tells whether a track goes on in a box: `(tracks, boxes, PAIR_FEATURES)`, all in [0, 1].

    The distance to where the track should be, first by convention; 1 - IoU there and with its last
    box; how far the centre is off, across and down, in heights; how much height and width changed;
    for how long the track was not seen.

    Args:
        predicted: Where each track should be, `(tracks, 4)`.
        last: Its last box, `(tracks, 4)`.
        lag: How many frames ago, `(tracks,)`, 1 or more.
        boxes: `(boxes, 4)`.
        diagonal: Of the picture.
    """
    a, b = predicted[:, None], boxes[None]
    offset = (a[..., :2] + a[..., 2:] / 2 - b[..., :2] - b[..., 2:] / 2).abs()
    size = (a[..., 2:].clamp_min(1).log() - b[..., 2:].clamp_min(1).log()).abs()
    columns = [
        pair_distance(predicted, boxes, diagonal)[..., None],
        1 - pair_iou(predicted, boxes)[..., None],
        1 - pair_iou(last, boxes)[..., None],
        offset / a[..., 3:].clamp_min(1) / 3,
        size,
        (lag.to(boxes.dtype) / 5)[:, None, None].expand(len(last), len(boxes), 1),
    ]
    return torch.cat(columns, 2).clamp(0, 1)


def predict_boxes(last: Tensor, previous: Tensor, lag: Tensor, gap: Tensor) -> Tensor:
    """Where boxes should be if they go on as they went, their size unchanged, `(boxes, 4)`.

    Args:
        last: The last boxes, `(boxes, 4)`.
        previous: The ones before; the same as `last` where there was none.
        lag: Frames since `last`, `(boxes,)`.
        gap: Frames from `previous` to `last`, `(boxes,)`, 1 or more.
    """
    centre = last[:, :2] + last[:, 2:] / 2
    speed = (centre - previous[:, :2] - previous[:, 2:] / 2) / gap[:, None]
    return torch.cat([last[:, :2] + speed * lag[:, None], last[:, 2:]], 1)
