"""Figures of the confusion matrix against scikit-learn and by hand."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score
from sklearn.metrics import confusion_matrix as reference

from bequest.errors import InputError
from bequest.metrics.segmentation import (
    confusion_matrix,
    intersection_over_union,
    mean_iou,
    pixel_accuracy,
)


def maps(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes, (4, 9, 7), generator=rng)
    noise = torch.randint(classes, (4, 9, 7), generator=rng)
    return torch.where(torch.rand(4, 9, 7, generator=rng) < 0.6, labels, noise), labels


@pytest.mark.parametrize("classes", [2, 5, 11])
def test_scikit_learn_agrees(classes: int) -> None:
    predicted, labels = maps(classes)
    ours = confusion_matrix(predicted.to(torch.uint8), labels, num_classes=classes)
    truth, answer = labels.flatten().numpy(), predicted.flatten().numpy()
    assert ours.tolist() == reference(truth, answer).tolist()
    each = jaccard_score(truth, answer, average=None)
    assert intersection_over_union(ours).tolist() == pytest.approx(each.tolist())
    assert mean_iou(ours) == pytest.approx(jaccard_score(truth, answer, average="macro"))
    assert pixel_accuracy(ours) == pytest.approx(accuracy_score(truth, answer))


def test_void_pixels_count_nowhere_whatever_was_predicted_there() -> None:
    predicted, labels = maps(5)
    void = torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    ours = confusion_matrix(predicted, labels.masked_fill(void, 255), num_classes=5, ignored=255)
    kept = jaccard_score(labels[~void].numpy(), predicted[~void].numpy(), average="macro")
    assert mean_iou(ours) == pytest.approx(kept)
    assert int(ours.sum()) == int((~void).sum())


def test_by_hand_and_batches_add_up() -> None:
    labels = torch.tensor([[0, 0, 1], [1, 2, 2]])
    predicted = torch.tensor([[0, 1, 1], [1, 2, 0]])
    whole = confusion_matrix(predicted, labels, num_classes=3)
    assert whole.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    # TP / (TP + FP + FN): 1/3, 2/3, 1/2.
    assert mean_iou(whole) == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)
    parts = [confusion_matrix(p, t, num_classes=3) for p, t in zip(predicted, labels)]
    assert torch.equal(whole, sum(parts))


def test_a_class_that_is_nowhere_does_not_count_and_one_only_predicted_counts_as_nothing() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert mean_iou(confusion_matrix(labels, labels, num_classes=4)) == 1.0
    # Class 2 is only predicted: 1, 1/2 and 0.
    found = confusion_matrix(torch.tensor([0, 0, 1, 2]), labels, num_classes=4)
    assert mean_iou(found) == pytest.approx(0.5)


def test_nothing_but_void_is_zero() -> None:
    void = torch.full((2, 2), 255)
    empty = confusion_matrix(torch.zeros(2, 2), void, num_classes=3, ignored=255)
    assert (mean_iou(empty), pixel_accuracy(empty)) == (0.0, 0.0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="one prediction a pixel"):
        confusion_matrix(torch.zeros(1, 2, 2), torch.zeros(1, 4, 4), num_classes=2)
    with pytest.raises(InputError, match="labels go from 0 to 255"):
        confusion_matrix(torch.zeros(2), torch.tensor([0, 255]), num_classes=2)
    with pytest.raises(InputError, match="predicted classes go from 0 to 2"):
        confusion_matrix(torch.tensor([0, 2]), torch.zeros(2), num_classes=2)
