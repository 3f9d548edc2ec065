"""Gradients of an expectation over bits, from the values of the loss alone.

Yin and Zhou, "ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks", ICLR 2019:
for independent bits `z_k ~ Bernoulli(sigmoid(logit_k))` and `u_k` uniform on (0, 1),

    d/d logit_k  E[f(z)]  =  E_u[ (f(1[u > sigmoid(-logit)]) - f(1[u < sigmoid(logit)])) (u_k - 1/2) ]

without bias, whatever `f` is: nothing is differentiated, two evaluations suffice, and their
opposite draws cancel most of the noise of plain REINFORCE.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def arm_gradient(
    loss: Callable[[Tensor], Tensor],
    logits: Tensor,
    uniform: Tensor,
    *,
    group: Tensor | None = None,
) -> Tensor:
    """One sample of the gradient of `E[loss(bits)]`, by the ARM estimator.

    With `group`, `loss` gives a value for each group of bits, and each bit is credited with that
    of its own. It is still the gradient of their sum where a group's bits change no other's value,
    and where a value that all groups share is in each of them once.

    Args:
        loss: From bits `(bits,)`, bool, to a scalar, or with `group` to `(groups,)`. Called twice.
        logits: `(bits,)`.
        uniform: Numbers in [0, 1), drawn independently, `(bits,)`.
        group: The group of each bit `(bits,)`, int64.

    Returns:
        `(bits,)`.

    Example:
        >>> logits, uniform = torch.zeros(2), torch.tensor([0.1, 0.8])
        >>> arm_gradient(lambda bits: bits.float().sum() ** 2, logits, uniform)
        tensor([-0.0000, 0.0000])
    """
    first = loss(uniform > torch.sigmoid(-logits))
    second = loss(uniform < torch.sigmoid(logits))
    difference = first - second
    return (difference if group is None else difference[group]) * (uniform - 0.5)
