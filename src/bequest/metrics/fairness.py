"""Group fairness of decisions between two classes: statistical parity, equal opportunity.

Both are gaps in [0, 1], 0 being fair. A network that decides the same for everybody has gaps of 0
and is of no use: read them beside the area under the ROC curve and the share of positive decisions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.ops.groups import two_groups


def statistical_parity(predictions: Tensor, sensitive: Tensor) -> float:
    """`| P(prediction = 1 | s = 0) - P(prediction = 1 | s = 1) |`.

    Args:
        predictions: Decisions `(samples,)`; 1 is the positive one.
        sensitive: Groups `(samples,)`, 0 or 1.

    Raises:
        InputError: For an attribute with one value only.

    Example:
        >>> statistical_parity(torch.tensor([1, 0, 1, 1]), torch.tensor([0, 0, 1, 1]))
        0.5
    """
    return _gap(predictions, two_groups(sensitive))


def equal_opportunity(predictions: Tensor, labels: Tensor, sensitive: Tensor) -> float:
    """`| P(prediction = 1 | s = 0, label = 1) - P(prediction = 1 | s = 1, label = 1) |`.

    Args:
        predictions: Decisions `(samples,)`; 1 is the positive one.
        labels: Truth `(samples,)`.
        sensitive: Groups `(samples,)`, 0 or 1.

    Raises:
        InputError: For an attribute with one value only, or a group without a label of 1.
    """
    return _gap(predictions, two_groups(sensitive, labels == 1))


def _gap(predictions: Tensor, groups: tuple[Tensor, Tensor]) -> float:
    first, second = ((predictions[group] == 1).double().mean() for group in groups)
    return (first - second).abs().item()


def fairness_figures(logits: Tensor, labels: Tensor, sensitive: Tensor) -> dict[str, float]:
    """What is reported of decisions between two classes, in percent.

    Args:
        logits: `(samples, 2)`.
        labels: `(samples,)`, 0 or 1, both present.
        sensitive: `(samples,)`, 0 or 1, both present among the labels of 1.

    Returns:
        `accuracy`; `auc`, of the positive class; `parity_gap` and `opportunity_gap`, and both
        with a minus sign as `negative_...`, so that larger is better; `positive_rate`, the share
        of positive decisions.

    Raises:
        InputError: For other than two classes, one label only, or a group that is missing.
    """
    if logits.ndim != 2 or logits.shape[1] != 2 or len(torch.unique(labels)) != 2:
        raise InputError(
            f"Logits of shape {tuple(logits.shape)} and labels {torch.unique(labels).tolist()}: "
            "group fairness is measured on decisions between two classes that both occur."
        )
    from sklearn.metrics import roc_auc_score

    predictions = logits.argmax(1)
    parity = 100 * statistical_parity(predictions, sensitive)
    opportunity = 100 * equal_opportunity(predictions, labels, sensitive)
    margin = (logits[:, 1] - logits[:, 0]).detach().cpu().numpy()
    return {
        "accuracy": 100 * (predictions == labels).double().mean().item(),
        "auc": 100 * float(roc_auc_score(labels.cpu().numpy(), margin)),
        "parity_gap": parity,
        "opportunity_gap": opportunity,
        "negative_parity_gap": -parity,
        "negative_opportunity_gap": -opportunity,
        "positive_rate": 100 * predictions.double().mean().item(),
    }
