"""How well label maps fit: everything out of one confusion matrix, which adds up over batches."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError


def confusion_matrix(
    predicted: Tensor, labels: Tensor, *, num_classes: int, ignored: int | None = None
) -> Tensor:
    """Counts of pixels by true and by predicted class, in one pass, on their device.

    Args:
        predicted: Classes in `0 .. num_classes - 1`, any integer type and shape.
        labels: True classes, of the same shape.
        num_classes: How many classes count.
        ignored: The label of pixels that count nowhere (void), whatever was predicted there.

    Returns:
        `(num_classes, num_classes)` int64: rows are true classes, columns predicted ones.

    Raises:
        InputError: When shapes differ, or a class is out of range.
    """
    if predicted.shape != labels.shape:
        raise InputError(
            f"predictions are {tuple(predicted.shape)}, labels {tuple(labels.shape)}: there must "
            "be one prediction a pixel. Enlarge the network's output to the size of the labels."
        )
    predicted, labels = predicted.flatten().long(), labels.flatten().long()
    if ignored is not None:
        counts = labels != ignored
        predicted, labels = predicted[counts], labels[counts]
    for name, classes in (("predicted classes", predicted), ("labels", labels)):
        if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
            raise InputError(
                f"{name} go from {int(classes.min())} to {int(classes.max())}, but there are "
                f"{num_classes} classes: name the void label as `ignored`."
            )
    pairs = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return pairs.view(num_classes, num_classes)


def intersection_over_union(confusion: Tensor) -> Tensor:
    """`TP / (TP + FP + FN)` of each class, `(classes,)` in [0, 1]; NaN where a class is nowhere."""
    hits = confusion.diagonal().double()
    return hits / (confusion.sum(0) + confusion.sum(1) - hits)


def mean_iou(confusion: Tensor) -> float:
    """The mean of `intersection_over_union` over the classes that occur, in [0, 1].

    A class counts when some pixel is of it or is taken for it; so one that is only predicted
    counts as 0, and one that is neither does not count. 0 where no pixel counts.
    """
    return float(intersection_over_union(confusion).nanmean().nan_to_num(0.0))


def pixel_accuracy(confusion: Tensor) -> float:
    """The share of pixels whose class is right, in [0, 1]; 0 where no pixel counts."""
    return float(confusion.diagonal().sum() / confusion.sum().clamp(min=1))
