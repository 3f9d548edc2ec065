"""Block distances, both ways and with their gradients, against subtract, norm and sum."""

from __future__ import annotations

import pytest
import torch

from bequest.ops.blocks import block_distances, block_distances_to_all, turn_blocks


def by_definition(points, table, rows, block_size, scale=None):
    entries = table[rows] if scale is None else table[rows] * scale[:, None]
    blocks = (entries - points[:, None]).unflatten(-1, (-1, block_size))
    return blocks.pow(2).sum(-1).sqrt().sum(-1)


# Few entries are compared whole, many are gathered.
@pytest.mark.parametrize("entries", [5, 60])
@pytest.mark.parametrize("block_size", [1, 2, 3])
@pytest.mark.parametrize("scaled", [False, True])
def test_distances_and_gradients(entries, block_size, scaled):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(  # noqa: E731
        shape, generator=generator, dtype=torch.float64
    ).requires_grad_()
    points, table = draw(4, 6), draw(entries, 6)
    scale = draw(4, 6) if scaled else None
    rows = torch.randint(entries, (4, 7), generator=generator)
    inputs = [tensor for tensor in (points, table, scale) if tensor is not None]

    ours = block_distances(points, table, rows, block_size=block_size, scale=scale)
    theirs = by_definition(points, table, rows, block_size, scale)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn(4, 7, generator=generator, dtype=torch.float64)
    for mine, other in zip(
        torch.autograd.grad((weight * ours).sum(), inputs),
        torch.autograd.grad((weight * theirs).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, other)
    if not scaled:
        whole = block_distances_to_all(points, table, block_size=block_size, limit=20)
        torch.testing.assert_close(whole.gather(1, rows), theirs)


@pytest.mark.parametrize("entries", [3, 60])
@pytest.mark.parametrize("block_size", [1, 2, 4])
def test_equal_blocks_have_finite_gradients(entries, block_size):
    table = torch.randn(entries, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    points = table.detach()[:2].clone().requires_grad_()
    rows = torch.tensor([[0, 1], [1, 2]])
    block_distances(points, table, rows, block_size=block_size).sum().backward()
    assert points.grad.isfinite().all()
    assert table.grad.isfinite().all()


def test_equal_entries_are_at_equal_distances():
    table = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    table[4] = table[1]
    distances = block_distances_to_all(table[:3], table, block_size=4)
    assert torch.equal(distances[:, 4], distances[:, 1])
    assert distances[1, 4] == 0


def test_each_block_is_turned_by_its_matrix():
    matrices = torch.tensor([[[0.0, 1.0], [-1.0, 0.0]], [[1.0, 0.0], [0.0, -1.0]]])
    turned = turn_blocks(torch.tensor([1.0, 2.0, 3.0, 4.0]), matrices)
    assert turned.tolist() == [-2.0, 1.0, 3.0, -4.0]
