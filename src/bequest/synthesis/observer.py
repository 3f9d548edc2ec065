"""What a data-free run shows of itself while it goes on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bequest.losses.distillation import agreement
from bequest.memory.pool import ImagePool
from bequest.memory.replay import to_floats
from bequest.run import Run

Monitor = Callable[[nn.Module], dict[str, float]]
"""Figures of a network, by name; used for reporting only, never for a decision."""


@torch.inference_mode()
def predict(network: nn.Module, images: Tensor, run: Run, *, batch_size: int = 500) -> Tensor:
    """Logits `(count, classes)` in eval mode, for uint8 or [0, 1] images of any number."""
    training = network.training
    network.eval()
    parts = []
    for batch in images.split(batch_size):
        batch = to_floats(batch) if batch.dtype == torch.uint8 else batch
        with run.autocast():
            parts.append(network(batch.to(run.device)).float())
    network.train(training)
    return torch.cat(parts)


def observe(
    student: nn.Module, pool: ImagePool | None, run: Run, monitor: Monitor | None
) -> dict[str, float]:
    """Records agreement with the teacher on held-back images (%), the pool's health, `monitor`'s.

    The pool's figures: `class_entropy` of the teacher's classes, 1 is balanced; `confidence`, the
    teacher's mean top probability.

    Returns:
        What was recorded.
    """
    figures: dict[str, float] = {}
    with run.section("evaluation"):
        if pool is not None and len(pool.held_back):
            logits = predict(student, pool.held_back["images"], run)
            figures["agreement"] = 100 * agreement(logits, pool.held_back["logits"]).item()
        if pool is not None and len(pool):
            probabilities = torch.softmax(pool.training["logits"], dim=1)
            confidence, label = probabilities.max(1)
            share = torch.bincount(label, minlength=probabilities.shape[1]) / len(label)
            entropy = -torch.xlogy(share, share).sum() / torch.tensor(len(share)).log()
            figures["class_entropy"] = entropy.item()
            figures["confidence"] = confidence.mean().item()
        if monitor is not None:
            figures |= monitor(student)
    if figures:
        run.record(**figures)
    return figures


def picture_pool(pool: ImagePool, run: Run) -> None:
    """Keeps the newest images, the histogram of confidence and of draws for the report."""
    bank = pool.training
    newest = torch.arange(max(bank.written - 64, 0), bank.written, device=bank["images"].device)
    run.picture("synthetic", to_floats(bank["images"][newest % bank.capacity]))
    confidence = torch.softmax(bank["logits"], dim=1).amax(1).cpu()
    for name, values, top in (
        ("confidence", confidence, 1.0),
        ("draws", bank["draws"].float().cpu(), max(float(bank["draws"].max()), 1.0)),
    ):
        counts, edges = torch.histogram(values, bins=20, range=(0.0, top))
        run.table(name, {"from": edges[:-1].tolist(), "count": counts.tolist()})
