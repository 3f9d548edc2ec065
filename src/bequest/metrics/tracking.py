"""MOTA, IDF1 and their parts, counted by motmetrics (extra `matching`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bequest.extras import load_extra
from bequest.ops.boxes import pair_iou

_NAMES = {
    "mota": "mota",
    "idf1": "idf1",
    "num_switches": "switches",
    "num_false_positives": "false_positives",
    "num_misses": "misses",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedBoxes:
    """Boxes with identities of one video.

    Shapes:
        frame: `(boxes,)` int64, from 1; identity: `(boxes,)` int64; boxes: `(boxes, 4)`.
    """

    frame: Tensor
    identity: Tensor
    boxes: Tensor


def tracking_figures(
    truth: Sequence[TrackedBoxes], found: Sequence[TrackedBoxes], *, overlap: float = 0.5
) -> dict[str, float]:
    """CLEAR MOT and identity figures over several videos together.

    Bernardin and Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT
    metrics", 2008; Ristani et al., "Performance measures and a data set for multi-target,
    multi-camera tracking", 2016.

    Args:
        truth: Of each video.
        found: Of each video, in the same order.
        overlap: The least IoU of a match.

    Returns:
        `mota` and `idf1` in percent, `switches`, `false_positives` and `misses` as counts.

    Raises:
        InputError: Without motmetrics.
    """
    library = load_extra("motmetrics", extra="matching")
    accumulators = []
    for true, hypothesis in zip(truth, found):
        accumulator = library.MOTAccumulator(auto_id=False)
        for frame in range(1, int(true.frame.max()) + 1):
            objects, tracks = true.frame == frame, hypothesis.frame == frame
            distance = 1 - pair_iou(true.boxes[objects], hypothesis.boxes[tracks])
            distance = distance.masked_fill(distance > 1 - overlap, torch.nan)
            accumulator.update(
                true.identity[objects].tolist(),
                hypothesis.identity[tracks].tolist(),
                distance.double().cpu().numpy(),
                frameid=frame,
            )
        accumulators.append(accumulator)
    host = library.metrics.create()
    names = [f"video {number}" for number in range(len(accumulators))]
    table = host.compute_many(
        accumulators, metrics=list(_NAMES), names=names, generate_overall=True
    ).loc["OVERALL"]
    scale = {"mota": 100.0, "idf1": 100.0}
    return {ours: scale.get(name, 1.0) * float(table[name]) for name, ours in _NAMES.items()}
