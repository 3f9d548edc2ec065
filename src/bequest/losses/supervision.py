"""The loss of intermediate supervision: how far two networks' feature maps are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError

Distance = Literal["l1", "mse", "huber", "smooth-l1"]

# Where the public code leaves the quadratic part of Huber and SmoothL1.
_KNEE = 0.06
_DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "huber": lambda ours, theirs: F.huber_loss(ours, theirs, delta=_KNEE),
    "smooth-l1": lambda ours, theirs: F.smooth_l1_loss(ours, theirs, beta=_KNEE),
}


def ramp_weights(count: int, slope: float) -> list[float]:
    """`w_i = 1 + slope * i / count` for `i = 1 .. count`: deeper taps weigh more."""
    return [1 + slope * index / count for index in range(1, count + 1)]


def intermediate_loss(
    ours: Sequence[Tensor],
    theirs: Sequence[Tensor],
    weights: Sequence[float],
    *,
    distance: Distance = "l1",
) -> Tensor:
    """`sum_i w_i * mean |ours_i - theirs_i|`, or with another distance.

    Args:
        ours: Feature maps of the network that learns, one a tap, each of any shape.
        theirs: Those of the network that it follows, of the same shapes.
        weights: One a tap.
        distance: What is averaged over all elements of a map.

    Returns:
        A scalar, at least 0, in fp32 whatever the precision of the maps.

    Raises:
        InputError: When numbers or shapes of maps and weights differ.
    """
    shapes = [tuple(m.shape) for m in ours], [tuple(m.shape) for m in theirs]
    if shapes[0] != shapes[1] or len(weights) != len(ours) or not weights:
        raise InputError(
            f"{len(weights)} weights for maps of {shapes[0]} and {shapes[1]}: as many maps of the "
            "same shapes, and a weight for each, are needed."
        )
    measure = _DISTANCES[distance]
    terms = [w * measure(a.float(), b.float()) for w, a, b in zip(weights, ours, theirs)]
    return sum(terms[1:], terms[0])


def relative_error(ours: Tensor, theirs: Tensor) -> Tensor:
    """`mean |ours - theirs| / mean |theirs|` of two maps; 0 where they agree."""
    return (ours.float() - theirs.float()).abs().mean() / theirs.float().abs().mean()
