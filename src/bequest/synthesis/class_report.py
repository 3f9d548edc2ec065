"""How a student holds the classes apart: spread, difficulty, relations to the class centres."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.losses.preview import relative_difficulty
from bequest.memory.labelled import LabelledImages
from bequest.memory.replay import to_floats
from bequest.nn.modes import frozen
from bequest.nn.watch import Watch
from bequest.run import Run
from bequest.run.pictures import drawn

_AT_MOST = 1000

Relations = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Features `(batch, dim)` to relations to the student's and the teacher's centres."""


def class_spread(vectors: Tensor, labels: Tensor) -> float | None:
    """Mean distance of two vectors of one class over that of two classes; small is well apart.

    Args:
        vectors: `(count, dim)`.
        labels: `(count,)`.

    Returns:
        At least 0; None where there are no two vectors of one class, or no two classes.
    """
    distances = torch.cdist(vectors, vectors)
    same = labels[:, None] == labels[None, :]
    others = ~same
    same.fill_diagonal_(False)
    if not (same.any() and others.any()):
        return None
    return (distances[same].mean() / distances[others].mean().clamp_min(1e-12)).item()


@torch.no_grad()
def report_classes(
    student: Watch, data: LabelledImages, run: Run, *, relations: Relations | None = None
) -> dict[str, float]:
    """Writes the histogram `difficulty` and the picture `relations` into the run's folder.

    Args:
        student: Watched at its features.
        data: What it was trained on; of many images, 1,000 are looked at, evenly.
        run: Takes the report.
        relations: Drawn as the mean of each class, where given.

    Returns:
        `class_spread` of the features, where there are two images of a class.
    """
    places = torch.arange(0, len(data), max(1, len(data) // _AT_MOST), device=run.device)
    labels = data.labels[places]
    with frozen(student.network), run.autocast():
        seen = student(to_floats(data.take(places))).each(Tensor.float)
    assert seen.features is not None
    difficulty = relative_difficulty(F.cross_entropy(seen.logits, labels, reduction="none"))
    top = max(float(difficulty.max()), 1.0)
    bins, edges = torch.histogram(difficulty.cpu(), bins=20, range=(0.0, top))
    run.table("difficulty", {"from": edges[:-1].tolist(), "count": bins.tolist()})
    if relations is not None and run.folder is not None:
        own, taught = (_class_means(r, labels) for r in relations(seen.features))
        run.picture("relations", _drawing(own, taught))
    spread = class_spread(seen.features, labels)
    return {} if spread is None else {"class_spread": spread}


def _class_means(relations: Tensor, labels: Tensor) -> Tensor:
    """The mean relation of each class `(classes, classes)`; 0 for classes without images."""
    classes = relations.shape[1]
    members = F.one_hot(labels, classes).to(relations.dtype)
    return members.T @ relations / members.sum(0).clamp_min(1)[:, None]


def _drawing(own: Tensor, taught: Tensor) -> Tensor:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, relation, whose in zip(figure.subplots(1, 2), (own, taught), ("student", "teacher")):
        shown = axes.imshow(relation.cpu().numpy(), cmap="viridis")
        axes.set(title=f"Centres of the {whose}", xlabel="centre", ylabel="class of the images")
        figure.colorbar(shown, ax=axes)
    return drawn(figure)
