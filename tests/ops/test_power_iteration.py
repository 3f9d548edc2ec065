"""Power iteration against an eigenvalue decomposition."""

from __future__ import annotations

import torch

from bequest.ops.power_iteration import power_iteration


def test_the_norm_is_the_largest_eigenvalue_and_can_be_followed() -> None:
    rng = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=rng, dtype=torch.float64)
    matrix = root @ root.t()
    norm, vector = power_iteration(lambda x: matrix @ x, torch.ones(6).double(), steps=200)
    assert torch.isclose(norm, torch.linalg.eigvalsh(matrix)[-1])
    assert torch.isclose(vector.norm(), torch.ones(()).double())
    again, _ = power_iteration(lambda x: matrix @ x, vector, steps=1)
    assert torch.isclose(again, norm)


def test_its_gradient_is_that_of_the_eigenvalue() -> None:
    diagonal = torch.tensor([1.0, 3.0, 2.0], requires_grad=True)
    norm, _ = power_iteration(lambda x: diagonal * x, torch.ones(3), steps=60)
    norm.backward()
    assert torch.allclose(diagonal.grad, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)


def test_of_nothing_it_is_zero_and_the_vector_stays() -> None:
    weight = torch.zeros((), requires_grad=True)
    norm, vector = power_iteration(lambda x: weight * x, torch.ones(4), steps=3)
    norm.backward()
    assert norm == 0
    assert torch.allclose(vector, torch.full((4,), 0.5))
    assert torch.isfinite(weight.grad)
