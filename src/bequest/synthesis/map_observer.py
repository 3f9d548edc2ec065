"""What a data-free run on networks that label each pixel shows of itself."""

from __future__ import annotations

import colorsys

import torch
from torch import Tensor, nn

from bequest.losses.distillation import per_sample, top_probability
from bequest.memory.pool import ImagePool
from bequest.memory.replay import to_floats
from bequest.run import Run
from bequest.synthesis.observer import Monitor, observe, predict


def label_maps(logits: Tensor) -> dict[str, Tensor]:
    """What a pool keeps of a teacher's logits `(batch, classes, height, width)`.

    Returns:
        `labels`: most likely classes `(batch, height, width)`, uint8 for up to 256 classes;
        `histogram`: pixels of each class `(batch, classes)`; `confidence`: mean top probability
        `(batch,)`.
    """
    classes = logits.shape[1]
    probability, label = top_probability(logits)
    histogram = torch.zeros(logits.shape[:2], device=logits.device)
    histogram.scatter_add_(1, label.flatten(1), torch.ones_like(probability).flatten(1))
    return {
        "labels": label.to(torch.uint8 if classes <= 256 else torch.int16),
        "histogram": histogram,
        "confidence": per_sample(probability),
    }


def observe_maps(
    student: nn.Module, pool: ImagePool, run: Run, monitor: Monitor | None
) -> dict[str, float]:
    """Records how a run stands, as `observe` does for networks that label whole images.

    `agreement`: pixels of held-back images where student and teacher choose the same class, in
    percent; `class_entropy` of the teacher's classes over all pixels of the pool, 1 is balanced;
    `confidence`, the teacher's mean top probability; and `monitor`'s figures.

    Args:
        student: Left as it is.
        pool: Filled with `label_maps`.
        run: Takes the figures; the time goes to the section `evaluation`.
        monitor: More figures.

    Returns:
        What was recorded.
    """

    def figures(network: nn.Module) -> dict[str, float]:
        found: dict[str, float] = {}
        if len(pool.held_back):
            answer = predict(network, pool.held_back["images"], run).argmax(1)
            same = answer == pool.held_back["labels"]
            found["agreement"] = 100 * same.float().mean().item()
        if len(pool):
            share = pool.training["histogram"].sum(0)
            share = share / share.sum()
            entropy = -torch.xlogy(share, share).sum() / torch.tensor(len(share)).log()
            found["class_entropy"] = entropy.item()
            found["confidence"] = pool.training["confidence"].mean().item()
        return found | (monitor(network) if monitor is not None else {})

    return observe(student, None, run, figures)


def picture_maps(student: nn.Module, pool: ImagePool, run: Run, *, count: int = 16) -> None:
    """Keeps pictures for the report: newest images, beneath them the teacher's and student's maps.

    Colours stand for classes, the same in both maps. With them, the histogram of the teacher's
    confidence and of draws.
    """
    bank = pool.training
    newest = torch.arange(max(bank.written - count, 0), bank.written, device=run.device)
    places = newest % bank.capacity
    pixels, labels = bank["images"][places], bank["labels"][places].long()
    logits = predict(student, pixels, run)
    colours = palette(logits.shape[1]).to(run.device)
    run.picture("synthetic", to_floats(pixels))
    run.picture("synthetic teacher labels", paint(labels, colours))
    run.picture("synthetic student labels", paint(logits.argmax(1), colours))
    for name, values, top in (
        ("confidence", bank["confidence"], 1.0),
        ("draws", bank["draws"].float(), max(float(bank["draws"].max()), 1.0)),
    ):
        counts, edges = torch.histogram(values.cpu(), bins=20, range=(0.0, top))
        run.table(name, {"from": edges[:-1].tolist(), "count": counts.tolist()})


def palette(classes: int) -> Tensor:
    """One colour a class, `(classes, 3)` in [0, 1]: dark grey, then hues as far apart as can be."""
    hues = [colorsys.hsv_to_rgb(i * 0.618 % 1, 0.75, 0.95) for i in range(classes - 1)]
    return torch.tensor([(0.2, 0.2, 0.2), *hues])


def paint(labels: Tensor, colours: Tensor) -> Tensor:
    """Label maps `(batch, height, width)` as pictures `(batch, 3, height, width)` in [0, 1].

    Labels beyond the last colour, such as one that is ignored, are black.
    """
    black = torch.zeros_like(colours[:1])
    index = labels.long().clamp(max=len(colours))
    return torch.cat([colours, black])[index].permute(0, 3, 1, 2)
