"""PKT: how probable it is to meet one sample next to another.

Nikolaos Passalis, Anastasios Tefas, "Learning Deep Representations with Probabilistic Knowledge
Transfer", ECCV 2018.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bequest.losses.objectives.shapes import require_same_batch

_EPSILON = 1e-7


def pkt(student: Tensor, teacher: Tensor) -> Tensor:
    """`mean_ij p_t(i | j) log( p_t(i | j) / p_s(i | j) )`, eq. 6 over batch^2.

    Args:
        student: `(batch, dim)`.
        teacher: `(batch, dim)`, of any dim; takes no gradient.

    Returns:
        A scalar, at least 0 up to rounding.

    Raises:
        InputError: When the batches differ.
    """
    require_same_batch(student, teacher, what="features", dims=2)
    ours, theirs = neighbours(student), neighbours(teacher.detach())
    return (theirs * ((theirs + _EPSILON) / (ours + _EPSILON)).log()).mean()


def neighbours(features: Tensor) -> Tensor:
    """`K(x_i, x_j) / sum_j K(x_i, x_j)` with `K = (cos + 1) / 2`, eqs. 3 and 5: `(batch, batch)`.

    A sample counts as its own neighbour, as in the authors' code.
    """
    rows = F.normalize(features.float(), dim=1, eps=_EPSILON)
    kernel = (rows @ rows.T + 1) / 2
    return kernel / kernel.sum(1, keepdim=True)
