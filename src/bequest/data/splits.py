"""Splits into training and test that are the same on every machine, for ever."""

from __future__ import annotations

import torch


def stratified_split(labels: torch.Tensor, *, test: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Spreads the test entries evenly over the classes, and over each class's entries.

    Nothing is drawn, so no version of a random generator can change the split. Each class gives
    its share of the test set, rounded down; the entries still missing come from the classes with
    the largest remainders. Of a class's ``n`` entries, the ``k`` for the test are those in the
    middle of ``k`` equal stretches.

    Args:
        labels: ``(number,)``, integers from 0.
        test: how many entries go to the test set, 1 .. number - 1.

    Returns:
        Positions of the training entries and of the test entries, each ascending.

    Raises:
        ValueError: if ``test`` is out of range.

    Example:
        >>> [part.tolist() for part in stratified_split(torch.tensor([0, 0, 0, 1, 1, 1]), test=2)]
        [[0, 2, 3, 5], [1, 4]]
    """
    total = len(labels)
    if not 0 < test < total:
        raise ValueError(f"test must be 1 .. {total - 1} of {total} entries, not {test}.")
    counts = torch.bincount(labels)
    quotas = counts * test // total
    missing = test - int(quotas.sum())
    # Stable, so that of equal remainders the lower class comes first.
    by_remainder = (counts * test % total).argsort(descending=True, stable=True)
    quotas[by_remainder[:missing]] += 1
    chosen = torch.zeros(total, dtype=torch.bool)
    for label, quota in enumerate(quotas.tolist()):
        positions = (labels == label).nonzero().flatten()
        middles = (2 * torch.arange(quota) + 1) * len(positions) // (2 * max(quota, 1))
        chosen[positions[middles]] = True
    return (~chosen).nonzero().flatten(), chosen.nonzero().flatten()
