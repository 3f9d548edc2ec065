"""The two groups that a sensitive attribute makes of samples or nodes."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError


def two_groups(sensitive: Tensor, within: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Where the attribute is 0 and where it is 1.

    Args:
        sensitive: The attribute `(samples,)`, of 0 and 1 in any dtype.
        within: `(samples,)`, bool: the samples that count; None for all.

    Returns:
        Positions of group 0 and of group 1, int64, ascending; neither is empty.

    Raises:
        InputError: For another shape, a value that is neither 0 nor 1, an attribute with one value
            only, and a group that is empty among the samples that count.
    """
    if sensitive.ndim != 1 or (within is not None and within.shape != sensitive.shape):
        mask = "" if within is None else f" within {tuple(within.shape)}"
        raise InputError(
            f"The sensitive attribute is {tuple(sensitive.shape)}{mask}; expected one value a "
            "sample, (samples,), and a mask of the same shape."
        )
    values = torch.unique(sensitive).tolist()
    if not set(values) <= {0, 1}:
        raise InputError(
            f"The sensitive attribute has the values {values[:5]}; expected 0 and 1. Number the "
            "two groups so, or compare one group with all others."
        )
    if len(values) < 2:
        raise InputError(
            f"The sensitive attribute is {values[0] if values else 'absent'} for all "
            f"{len(sensitive)} samples: with one group there is no bias to measure or to remove. "
            "Choose an attribute with two values."
        )
    counted = torch.ones_like(sensitive, dtype=torch.bool) if within is None else within.bool()
    groups = tuple((counted & (sensitive == value)).nonzero().flatten() for value in (0, 1))
    for value, group in enumerate(groups):
        if not len(group):
            raise InputError(
                f"Group {value} is empty among the {int(counted.sum())} samples that count (of "
                f"{len(sensitive)}): take more samples, or split so that both groups are in each "
                "part, of each class too where equal opportunity is asked for."
            )
    return groups[0], groups[1]
