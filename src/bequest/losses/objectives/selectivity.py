"""NST: the distribution of what channels respond to.

Zehao Huang, Naiyan Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer",
2017, arXiv 1707.01219.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bequest.losses.objectives.projector import to_common_size


def neuron_selectivity(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
    """`sum` over maps of the squared MMD of channels, with the kernel `(x . y)^2`, eqs. 3 and 5.

    A channel of one sample is a point: its map, of length 1. Numbers of channels may differ; of
    two resolutions the larger is averaged to the smaller.

    Args:
        student_maps: Each `(batch, channels, height, width)`.
        teacher_maps: As many; they take no gradient.

    Returns:
        A scalar, at least 0 up to rounding: the mean over the batch.

    Raises:
        InputError: When numbers or sizes of the maps do not fit.
    """
    terms = []
    for student, teacher in to_common_size(student_maps, teacher_maps):
        ours, theirs = (m.float().flatten(2) for m in (student, teacher.detach()))
        own, other = _products(ours, ours), _products(theirs, theirs)
        a, b = (x.diagonal(dim1=1, dim2=2).clamp(min=1e-12) for x in (own, other))
        terms.append(
            _kernel(own, a, a) + _kernel(other, b, b) - 2 * _kernel(_products(ours, theirs), a, b)
        )
    return torch.stack(terms).sum()


def _products(first: Tensor, second: Tensor) -> Tensor:
    """`x_i . y_j` of the channels of a sample, `(batch, channels, channels)`."""
    return torch.bmm(first, second.transpose(1, 2))


def _kernel(products: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The mean of `(x . y)^2 / (|x|^2 |y|^2)` over samples and pairs of channels.

    The lengths divide products, which are few, instead of maps, which are large.
    """
    return (products.square() / (first[:, :, None] * second[:, None])).mean()
