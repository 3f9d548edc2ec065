"""How far a pool of images lies from what a teacher was trained on, as the teacher sees it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bequest.memory.replay import to_floats
from bequest.nn.inspection import batch_norm_layers
from bequest.run import Run
from bequest.synthesis.observer import predict
from bequest.synthesis.statistics import BatchNormStatistics

_AT_MOST = 10_000
_ONE_BATCH = 1000


def report_shift(teacher: nn.Module, images: Tensor, run: Run) -> dict[str, float]:
    """Writes tables and a picture into the run's folder; the time goes to `evaluation`.

    The table `pool_confidence` is a histogram of the teacher's top probability, `pool_classes` how
    often it chooses each class, `pool` a picture.

    Args:
        teacher: In eval mode; takes images in [0, 1].
        images: `(count, channels, height, width)`, uint8; of many, 10,000 are looked at, evenly.
        run: Takes the report.

    Returns:
        `pool_confidence`, the mean top probability; `pool_class_entropy`, 1 where all classes are
        chosen alike; and for a teacher with BatchNorm `statistics_shift`, the mean over its
        channels of the Gaussian divergence, in nats, between what the pool puts in and the
        running statistics: near 0 for images like those that it was trained on.
    """
    looked_at = _evenly(images, _AT_MOST)
    with run.section("evaluation"):
        confidence, labels = torch.softmax(predict(teacher, looked_at, run), dim=1).max(1)
        counts = torch.bincount(labels, minlength=predict(teacher, images[:1], run).shape[1])
        figures = {
            "pool_confidence": confidence.mean().item(),
            "pool_class_entropy": class_entropy(counts),
        }
        layers = batch_norm_layers(teacher)
        if layers:
            with torch.no_grad(), BatchNormStatistics(teacher) as statistics:
                teacher(to_floats(_evenly(images, _ONE_BATCH)).to(run.device))
                total = statistics.divergence()
            means: list[Any] = [layer.running_mean for layer in layers.values()]
            channels = sum(len(mean) for mean in means)
            figures["statistics_shift"] = total.item() / channels
    bins, edges = torch.histogram(confidence.cpu(), bins=20, range=(0.0, 1.0))
    run.table("pool_confidence", {"from": edges[:-1].tolist(), "count": bins.tolist()})
    run.table(
        "pool_classes", {"class": list(map(float, range(len(counts)))), "images": counts.tolist()}
    )
    run.picture("pool", to_floats(_evenly(images, 64)))
    return figures


def class_entropy(counts: Tensor) -> float:
    """Entropy of `counts` `(classes,)` over its largest value: 1 is balanced, 0 is one class."""
    share = counts / counts.sum().clamp(min=1)
    return float(-torch.xlogy(share, share).sum() / torch.tensor(float(len(counts))).log())


def _evenly(images: Tensor, count: int) -> Tensor:
    return images[:: max(1, -(-len(images) // count))]
