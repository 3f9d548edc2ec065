"""Orthogonal rows against Gram-Schmidt as it is written, with gradients; singular matrices."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.orthogonal import SHORTEST_ROW, orthogonal_rows, repair_rank


def gram_schmidt(matrix):
    rows: list[torch.Tensor] = []
    for row in matrix:
        left = row - sum((row @ done) * done for done in rows)
        rows.append(left / left.norm())
    return torch.stack(rows)


def test_rows_and_gradients_are_those_of_gram_schmidt():
    generator = torch.Generator().manual_seed(0)
    matrices = torch.rand(3, 5, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 5, 5, generator=generator, dtype=torch.float64)
    ours, lengths = orthogonal_rows(matrices)
    theirs = torch.stack([gram_schmidt(matrix) for matrix in matrices])
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(lengths.prod(-1), torch.linalg.det(matrices).abs())
    (mine,) = torch.autograd.grad((weight * ours).sum(), matrices)
    (other,) = torch.autograd.grad((weight * theirs).sum(), matrices)
    torch.testing.assert_close(mine, other)


def test_they_are_orthogonal_to_1e_5_even_from_bad_matrices():
    matrices = torch.rand(50, 20, 20, generator=torch.Generator().manual_seed(0)) + 3
    turned, _ = orthogonal_rows(matrices)
    assert (turned @ turned.mT - torch.eye(20)).abs().max() < 1e-5


def test_singular_matrices_alone_are_repaired():
    matrices = torch.stack([torch.eye(3), torch.ones(3, 3), torch.zeros(3, 3)])
    repaired = repair_rank(matrices)
    assert torch.equal(repaired[0], matrices[0])
    assert torch.equal(matrices[1], torch.ones(3, 3))
    turned, lengths = orthogonal_rows(repaired)
    assert (lengths >= SHORTEST_ROW).all()
    assert (repaired[1:] - matrices[1:]).abs().max() < 1e-3
    assert (turned @ turned.mT - torch.eye(3)).abs().max() < 1e-5


def test_they_must_be_square():
    with pytest.raises(InputError, match=r"\(..., n, n\), not \(2, 3\)"):
        orthogonal_rows(torch.zeros(2, 3))
