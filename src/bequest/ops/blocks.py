"""Vectors as rows of blocks: turned block by block, compared block by block.

The *block distance* of two vectors is the sum of the Euclidean distances of their blocks. With
blocks of 1 it is the L1 distance, with one block the Euclidean one, with blocks of 2 the sum of the
moduli of complex numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_TINY = 1e-10


def turn_blocks(vectors: Tensor, matrices: Tensor) -> Tensor:
    """Each block, a row vector, times a matrix of its own.

    Args:
        vectors: `(..., blocks * n)`.
        matrices: `(..., blocks, n, n)`, with the same leading shape or one that broadcasts to it.
    """
    blocks = vectors.unflatten(-1, matrices.shape[-3:-1])
    return (blocks.unsqueeze(-2) @ matrices).flatten(-3)


def block_distances(
    points: Tensor, table: Tensor, rows: Tensor, *, block_size: int, scale: Tensor | None = None
) -> Tensor:
    """The block distance of each point to some rows of a table, for training.

    Of two ways to the same numbers the cheaper one is taken. A small table is compared whole, block
    by block, by matrix products. From a large one the rows are gathered, with a backward pass of
    its own that keeps one difference an entry and takes half the time of gather, subtract and norm.
    The gradient is 0 where two blocks are equal.

    Args:
        points: `(batch, dim)`.
        table: `(entries, dim)`.
        rows: Entries to compare with `(batch, number)`, int64.
        block_size: Divides `dim`.
        scale: What multiplies the entries for each point `(batch, dim)`; None is 1.

    Returns:
        `(batch, number)`, at least 0.
    """
    if block_size > 1 and len(table) <= rows.shape[1] * block_size:
        return _distances_by_products(points, table, block_size, scale).gather(1, rows)
    distances: Tensor = _GatheredDistances.apply(points, table, rows, block_size, scale)
    return distances


def block_distances_to_all(
    points: Tensor, table: Tensor, *, block_size: int, limit: int = 1 << 26
) -> Tensor:
    """The block distance of each point to each row of a table, nothing of size `dim` between.

    Args:
        points: `(batch, dim)`.
        table: `(entries, dim)`.
        block_size: Divides `dim`.
        limit: Numbers to hold at a time; more points are taken in parts.

    Returns:
        `(batch, entries)`, computed difference by difference: no cancellation of squares, so that
        equal distances come out equal.
    """
    if block_size == 1:
        return torch.cdist(points, table, p=1.0)
    entries = _by_block(table, block_size)
    part = max(1, limit // (len(entries) * len(table)))
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cat(
        [
            torch.cdist(_by_block(some, block_size), entries, compute_mode=mode).sum(0)
            for some in points.split(part)
        ]
    )


def _by_block(vectors: Tensor, block_size: int) -> Tensor:
    """`(blocks, number, n)` of `(number, blocks * n)`."""
    return vectors.unflatten(-1, (-1, block_size)).transpose(0, 1).contiguous()


def _distances_by_products(
    points: Tensor, table: Tensor, block_size: int, scale: Tensor | None
) -> Tensor:
    """`(batch, entries)`; squares cancel, so that distances below 1e-4 of the lengths are noise."""
    points, table = _by_block(points, block_size), _by_block(table, block_size)
    if scale is None:
        return torch.cdist(points, table, compute_mode="use_mm_for_euclid_dist").sum(0)
    scale = _by_block(scale, block_size)
    squares = torch.baddbmm(
        points.square().sum(-1, keepdim=True),
        torch.cat([scale * points, scale.square()], dim=-1),
        torch.cat([-2 * table, table.square()], dim=-1).mT,
    )
    return squares.clamp(min=_TINY).sqrt().sum(0)


class _GatheredDistances(torch.autograd.Function):
    """`sum over blocks || scale * table[rows] - points ||`."""

    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        table: Tensor,
        rows: Tensor,
        block_size: int,
        scale: Tensor | None,
    ) -> Tensor:
        difference = F.embedding(rows, table)
        if scale is not None:
            difference *= scale[:, None]
        difference -= points[:, None]
        lengths = _lengths(difference, block_size)
        ctx.save_for_backward(difference, lengths, table, rows, scale)
        ctx.block_size = block_size
        return lengths.sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        difference, lengths, table, rows, scale = ctx.saved_tensors
        # Of the scaled entries: the unit vector of each block, times what arrives.
        weight = gradient[..., None] / lengths.clamp(min=_TINY)
        entry = _weighted(difference, weight, ctx.block_size)
        of_points, of_scale = -entry.sum(1), None
        if scale is not None:
            of_scale = (entry * F.embedding(rows, table)).sum(1)
            entry = entry * scale[:, None]
        of_table = torch.zeros_like(table).index_add_(0, rows.flatten(), entry.flatten(0, 1))
        return of_points, of_table, None, None, of_scale


def _lengths(vectors: Tensor, block_size: int) -> Tensor:
    """`(..., blocks)`; pairs as complex numbers, whose modulus is the faster kernel."""
    if block_size == 1:
        return vectors.abs()
    blocks = vectors.unflatten(-1, (-1, block_size))
    return torch.view_as_complex(blocks).abs() if block_size == 2 else blocks.norm(dim=-1)


def _weighted(vectors: Tensor, weight: Tensor, block_size: int) -> Tensor:
    """Each block times its weight `(..., blocks)`."""
    if block_size == 1:
        return vectors * weight
    blocks = vectors.unflatten(-1, (-1, block_size))
    if block_size == 2:
        return torch.view_as_real(torch.view_as_complex(blocks) * weight).flatten(-2)
    return (blocks * weight[..., None]).flatten(-2)
