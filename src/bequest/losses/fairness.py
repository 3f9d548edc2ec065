"""How far two groups are apart in what a network says of them, with a gradient.

Dong, Zhang, Yuan, Zou, Wang, Li, "RELIANT: Fair Knowledge Distillation for Graph Neural Networks",
SDM 2023. Statistical parity and equal opportunity count decisions, which have no gradient; here a
decision `[p > 1/2]` is a smooth step of the probability:

    gap = sum over classes c of ( mean_{s=0} a(p_c) - mean_{s=1} a(p_c) )^2

over all samples for statistical parity, over those of class 1 for equal opportunity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bequest.errors import unknown
from bequest.ops.groups import two_groups

Step = Literal["legendre", "sigmoid"]

# By degree; the even ones but the constant are 0. Trap: it is no expansion of a step, which would
# have the factors (2 k + 1) / 2, and overshoot to 1.123 at p = 1. These are the authors' numbers.
_LEGENDRE = (1 / 2, 1 / 2, 0, -1 / 8, 0, 1 / 16, 0, -5 / 128, 0, 7 / 256)
_ODD = np.polynomial.legendre.leg2poly(_LEGENDRE)[1::2].tolist()
_SHARPNESS = 8.0


def legendre_step(probabilities: Tensor) -> Tensor:
    """`a(p) = 1/2 + x/2 - P3(x)/8 + P5(x)/16 - 5/128 P7(x) + 7/256 P9(x)` with `x = 2 p - 1`.

    A polynomial that rises from 0.0742 at 0 over 1/2 at 1/2 to 0.9258 at 1, P_k being Legendre's.

    Args:
        probabilities: Of any shape, in [0, 1].
    """
    x = 2 * probabilities - 1
    square = x.square()
    odd = torch.zeros_like(x)
    for coefficient in reversed(_ODD):
        odd = odd * square + coefficient
    return 0.5 + x * odd


def sigmoid_step(probabilities: Tensor) -> Tensor:
    """`sigmoid(8 (p - 1/2))`: as steep at 1/2 as the polynomial (2 and 1.91), and monotonous."""
    return torch.sigmoid(_SHARPNESS * (probabilities - 0.5))


_STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "legendre": legendre_step,
    "sigmoid": sigmoid_step,
}


class SoftGroupGap:
    """The gap between the groups of samples that stay the same from step to step.

    Groups are found and checked once; calls gather and average, with nothing to wait for.

    Args:
        sensitive: The group of each sample `(samples,)`, 0 or 1.
        where: `(samples,)`, bool: the samples that count; None for all.
        labels: `(samples,)`: restricts to class 1, which is equal opportunity; None is
            statistical parity.
        step: The smooth step.

    Shapes:
        probabilities: `(samples, classes)`, in [0, 1]; the gap: a scalar, at least 0.

    Raises:
        InputError: For an unknown step, an attribute with one value only, or an empty group.
    """

    def __init__(
        self,
        sensitive: Tensor,
        *,
        where: Tensor | None = None,
        labels: Tensor | None = None,
        step: Step = "legendre",
    ) -> None:
        if step not in _STEPS:
            raise unknown("step", step, _STEPS)
        if labels is not None:
            where = labels == 1 if where is None else where & (labels == 1)
        self._step = _STEPS[step]
        self._groups = two_groups(sensitive, where)

    def __call__(self, probabilities: Tensor) -> Tensor:
        """The gap."""
        steps = self._step(probabilities)
        first, second = (steps[group].mean(0) for group in self._groups)
        return (first - second).square().sum()


def soft_group_gap(
    probabilities: Tensor,
    sensitive: Tensor,
    labels: Tensor | None = None,
    *,
    step: Step = "legendre",
) -> Tensor:
    """The gap between two groups, once; see `SoftGroupGap` for a loop.

    Example:
        >>> probabilities = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> round(soft_group_gap(probabilities, torch.tensor([0, 1])).item(), 3)
        1.45
    """
    return SoftGroupGap(sensitive, labels=labels, step=step)(probabilities)
