"""Soft one-to-one assignments: rows and columns of a matrix scaled in turn until they sum to 1.

Sinkhorn and Knopp, "Concerning nonnegative matrices and doubly stochastic matrices", Pacific
Journal of Mathematics 1967. For a kernel `K > 0` the answer is `diag(u) K diag(v)` with

    u = a / (K v),    v = b / (K' u),

`a` and `b` the wanted sums. Only `u` and `v` change from round to round, so that a round is two
products of a matrix and a vector; nothing of the matrix's size is written before the end.

A rectangle gets one dummy row (or column) that takes what is left: its sum is the difference of the
sides, which is the same as so many rows of equal entries. With `slack` each row and each column may
stay unmatched: both dummies are there, with room for everything.

Everything is batched over problems of different sizes, padded to the largest.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError

_NEVER = -1e4
"""Stands for log 0; finite, so that no gradient becomes NaN."""
_SAFE_SPREAD = 50.0
"""Up to this spread of log scores, products of kernel and scales stay inside float32's range."""


def scale_kernel(
    kernel: Tensor,
    rows: Tensor,
    columns: Tensor,
    *,
    iterations: int,
    slack: Tensor | float | None = None,
) -> Tensor:
    """Scales a kernel to row and column sums of 1, rows first.

    Args:
        kernel: `(batch, rows, columns)`, 0 or more; what it holds in the padding does not count.
        rows: How many rows each problem has, `(batch,)`.
        columns: How many columns each problem has, `(batch,)`.
        iterations: Rounds of rows and columns; 0 only clears the padding.
        slack: The kernel's entry for staying unmatched, one or `(batch, 1)`; None matches the whole
            shorter side.

    Returns:
        `(batch, rows, columns)`, 0 in the padding. Columns sum to 1 (with the dummy row, if there
        is one), rows nearly so.
    """
    a, b, spare_a, spare_b = _sums(kernel, rows, columns, slack is not None)
    # Squares need no dummies; to find that out costs less than to drag them along.
    if slack is None and bool((rows == columns).all()):
        return scale_to_sums(kernel, a, b, iterations=iterations)
    u, v = a, b
    border = 1.0 if slack is None else slack
    corner = 0.0 if slack is None else slack
    spare_v = (spare_b > 0).to(kernel.dtype)
    for _ in range(iterations):
        u = _divide(a, torch.bmm(kernel, v[:, :, None])[:, :, 0] + border * spare_v)
        spare_u = _divide(spare_a, border * v.sum(1, keepdim=True) + corner * spare_v)
        v = _divide(b, torch.bmm(u[:, None], kernel)[:, 0] + border * spare_u)
        spare_v = _divide(spare_b, border * u.sum(1, keepdim=True) + corner * spare_u)
    return u[:, :, None] * kernel * v[:, None]


def scale_to_sums(kernel: Tensor, a: Tensor, b: Tensor, *, iterations: int) -> Tensor:
    """Scales a kernel `(batch, rows, columns)` to any sums of rows and columns, rows first.

    Args:
        kernel: 0 or more; where a row or a column should sum to 0 it does not count.
        a: `(batch, rows)`, 0 or more.
        b: `(batch, columns)`, 0 or more, in all as much as `a`.
        iterations: Rounds of rows and columns.
    """
    u, v = (a > 0).to(kernel.dtype), (b > 0).to(kernel.dtype)
    for _ in range(iterations):
        u = _divide(a, torch.bmm(kernel, v[:, :, None])[:, :, 0])
        v = _divide(b, torch.bmm(u[:, None], kernel)[:, 0])
    return u[:, :, None] * kernel * v[:, None]


def scale_log_kernel(
    log_kernel: Tensor,
    rows: Tensor,
    columns: Tensor,
    *,
    iterations: int,
    slack: Tensor | float | None = None,
) -> Tensor:
    """The same from the kernel's logarithm, for any spread; a round takes two exponentials a pair.

    Args:
        log_kernel: `(batch, rows, columns)`; what it holds in the padding does not count.
        rows: See `scale_kernel`.
        columns: See `scale_kernel`.
        iterations: See `scale_kernel`.
        slack: The logarithm of the kernel's entry for staying unmatched.

    Returns:
        The scaled kernel, not its logarithm.
    """
    a, b, spare_a, spare_b = _sums(log_kernel, rows, columns, slack is not None)
    inside = pair_mask(rows, columns, a.shape[1], b.shape[1])
    never = log_kernel.new_tensor(_NEVER)
    bordered = F.pad(log_kernel.where(inside, never), (0, 1, 0, 1))
    if slack is None:
        bordered[:, -1, -1] = never
    else:
        bordered[:, -1, :] = slack
        bordered[:, :, -1] = slack
    a, b = torch.cat([a, spare_a], 1), torch.cat([b, spare_b], 1)
    f, g = torch.zeros_like(a), torch.zeros_like(b).where(b > 0, never)
    for _ in range(iterations):
        f = (a.log() - torch.logsumexp(bordered + g[:, None], 2)).where(a > 0, never)
        g = (b.log() - torch.logsumexp(bordered + f[:, :, None], 1)).where(b > 0, never)
    scaled = (bordered + f[:, :, None] + g[:, None])[:, :-1, :-1].exp()
    return scaled.where(inside, scaled.new_zeros(()))


def sinkhorn(
    scores: Tensor,
    rows: Tensor,
    columns: Tensor,
    *,
    temperature: float = 1.0,
    iterations: int = 20,
    slack: float | None = None,
) -> Tensor:
    """The soft assignment of scores, larger is better: `exp(scores / temperature)`, scaled.

    Kernels whose products float32 holds are scaled as they are; scores of a wider spread take the
    logarithmic way, which gives the same numbers. To find out takes one synchronisation with the
    device.

    Args:
        scores: `(batch, rows, columns)`, finite; the padding counts for nothing but the spread.
        rows: How many rows each problem has, `(batch,)`.
        columns: How many columns each problem has, `(batch,)`.
        temperature: Above 0; the smaller, the closer to a permutation, and the more rounds needed.
        iterations: Rounds of rows and columns. pygmtools counts half rounds.
        slack: The score of staying unmatched; None matches the whole shorter side.

    Returns:
        `(batch, rows, columns)`, 0 in the padding.

    Raises:
        InputError: For a temperature that is not above 0.

    Example:
        >>> size = torch.tensor([2])
        >>> sinkhorn(torch.tensor([[[1.0, 0.0], [1.0, 1.0]]]), size, size, temperature=0.1).round()
        tensor([[[1., 0.],
                 [0., 1.]]])
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; it must be above 0.")
    scores = scores / temperature
    # One factor for all of a problem's pairs changes nothing; it keeps exp from overflowing.
    top = scores.detach().amax((1, 2))[:, None]
    low = scores.detach().amin((1, 2))[:, None]
    border = None
    if slack is not None:
        top, low = top.clamp_min(slack / temperature), low.clamp_max(slack / temperature)
        border = slack / temperature - top
    scores.sub_(top[:, :, None])  # in place, like exp_: memory written anew is what costs most
    if bool((top - low).amax() > _SAFE_SPREAD):
        return scale_log_kernel(scores, rows, columns, iterations=iterations, slack=border)
    border = None if border is None else border.exp()
    return scale_kernel(scores.exp_(), rows, columns, iterations=iterations, slack=border)


def gumbel_noise(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Standard Gumbel numbers on the generator's device, for Gumbel-Sinkhorn.

    Mena et al., "Learning Latent Permutations with Gumbel-Sinkhorn Networks", ICLR 2018.
    """
    uniform = torch.rand(shape, generator=rng, device=rng.device).clamp_(1e-9, 1 - 1e-6)
    return -torch.log(-torch.log(uniform))


def pair_mask(rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """True at the pairs of a problem, False in its padding: `(batch, height, width)`."""
    row = torch.arange(height, device=rows.device) < rows[:, None]
    column = torch.arange(width, device=columns.device) < columns[:, None]
    return row[:, :, None] & column[:, None]


def _sums(
    like: Tensor, rows: Tensor, columns: Tensor, slack: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The wanted sums of rows, columns, the dummy row and the dummy column, in `like`'s type."""
    a = torch.arange(like.shape[1], device=like.device) < rows[:, None]
    b = torch.arange(like.shape[2], device=like.device) < columns[:, None]
    difference = (columns - rows)[:, None]
    spare_a = columns[:, None] if slack else difference.clamp_min(0)
    spare_b = rows[:, None] if slack else (-difference).clamp_min(0)
    return a.to(like.dtype), b.to(like.dtype), spare_a.to(like.dtype), spare_b.to(like.dtype)


def _divide(sums: Tensor, found: Tensor) -> Tensor:
    """0 where nothing is there to be scaled, or nothing is wanted."""
    return sums / found.where(found > 0, found.new_ones(()))
