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
    student: nn.Module,
    pool: ImagePool | None,
    run: Run,
    monitor: Monitor | None,
    *,
    fresh: Callable[[], tuple[Tensor, Tensor]] | None = None,
) -> dict[str, float]:
    """Records agreement with the teacher on held-back images (%), the images' health, `monitor`'s.

    The images' figures: `class_entropy` of the teacher's classes, 1 is balanced; `confidence`, the
    teacher's mean top probability.

    Args:
        student: Left as it is.
        pool: What the student trains on, where there is a pool.
        run: Takes the figures; the time goes to the section `evaluation`.
        monitor: More figures.
        fresh: Where there is no pool: makes images that the student has not trained on, in
            [0, 1], and the teacher's logits on them.

    Returns:
        What was recorded.
    """
    figures: dict[str, float] = {}
    with run.section("evaluation"):
        if pool is not None and len(pool.held_back):
            logits = predict(student, pool.held_back["images"], run)
            figures["agreement"] = 100 * agreement(logits, pool.held_back["logits"]).item()
        if pool is not None and len(pool):
            figures |= _health(pool.training["logits"])
        if fresh is not None:
            images, logits = fresh()
            answer = predict(student, images, run)
            figures["agreement"] = 100 * agreement(answer, logits).item()
            figures |= _health(logits)
        if monitor is not None:
            figures |= monitor(student)
    if figures:
        run.record(**figures)
    return figures


def _health(logits: Tensor) -> dict[str, float]:
    """How balanced and how sure the teacher's answers `(count, classes)` are."""
    confidence, label = torch.softmax(logits, dim=1).max(1)
    share = torch.bincount(label, minlength=logits.shape[1]) / len(label)
    entropy = -torch.xlogy(share, share).sum() / torch.tensor(len(share)).log()
    return {"class_entropy": entropy.item(), "confidence": confidence.mean().item()}


def picture_pool(pool: ImagePool, run: Run) -> None:
    """Keeps the newest images, the histogram of confidence and of draws for the report."""
    bank = pool.training
    newest = torch.arange(max(bank.written - 64, 0), bank.written, device=bank["images"].device)
    picture_images(to_floats(bank["images"][newest % bank.capacity]), bank["logits"], run)
    _histogram("draws", bank["draws"].float(), max(float(bank["draws"].max()), 1.0), run)


def picture_images(images: Tensor, logits: Tensor, run: Run) -> None:
    """Keeps up to 64 images and the histogram of the teacher's confidence for the report."""
    run.picture("synthetic", images[:64])
    _histogram("confidence", torch.softmax(logits, dim=1).amax(1), 1.0, run)


def _histogram(name: str, values: Tensor, top: float, run: Run) -> None:
    counts, edges = torch.histogram(values.cpu(), bins=20, range=(0.0, top))
    run.table(name, {"from": edges[:-1].tolist(), "count": counts.tolist()})
