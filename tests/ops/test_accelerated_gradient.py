"""Accelerated descent against closed forms; what it promises of costs, starts and batches."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.accelerated_gradient import accelerated_gradient

RNG = torch.Generator().manual_seed(0)
ROOT = torch.randn(3, 8, 5, generator=RNG, dtype=torch.float64)
TARGET = torch.randn(3, 8, generator=RNG, dtype=torch.float64)
BOUND = torch.linalg.matrix_norm(ROOT, 2).square().max().item()


def gradient(x: torch.Tensor) -> torch.Tensor:
    residual = torch.einsum("bij,bj->bi", ROOT[: len(x)], x) - TARGET[: len(x)]
    return torch.einsum("bij,bi->bj", ROOT[: len(x)], residual)


def cost(x: torch.Tensor) -> torch.Tensor:
    return (torch.einsum("bij,bj->bi", ROOT, x) - TARGET).square().sum(1) / 2


def test_least_squares() -> None:
    start = torch.zeros(3, 5, dtype=torch.float64)
    x, end = accelerated_gradient(
        gradient, start, step_size=1 / BOUND, tolerance=1e-12, max_steps=5000
    )
    assert torch.allclose(x, torch.linalg.lstsq(ROOT, TARGET).solution, atol=1e-8)
    assert end.converged.all()
    assert end.steps < 1000


def test_the_cost_never_rises_where_it_is_watched() -> None:
    start = 10 * torch.randn(3, 5, generator=RNG, dtype=torch.float64)
    x, end = accelerated_gradient(
        gradient, start, step_size=1 / BOUND, cost=cost, tolerance=0.0, max_steps=300
    )
    assert end.costs.shape == (end.steps + 1, 3)
    assert (end.costs.diff(dim=0) <= 0).all()
    assert torch.equal(end.costs[-1], cost(x))
    best = cost(torch.linalg.lstsq(ROOT, TARGET).solution)
    assert torch.allclose(end.costs[-1], best, rtol=1e-10)


def test_a_proximal_map_makes_the_constrained_minimum() -> None:
    """min (x - a)^2 / 2 + |x| is soft thresholding."""
    a = torch.tensor([[3.0, -0.5, -2.0]])
    x, _ = accelerated_gradient(
        lambda x: x - a, torch.ones(1, 3), step_size=0.5,
        proximal=lambda v: v.sign() * (v.abs() - 0.5).clamp(min=0), tolerance=1e-7,
    )  # fmt: skip
    assert torch.allclose(x, torch.tensor([[2.0, 0.0, -1.0]]), atol=1e-5)


def test_a_batch_gives_what_its_members_give() -> None:
    start = torch.zeros(3, 5, dtype=torch.float64)
    whole, _ = accelerated_gradient(gradient, start, step_size=1 / BOUND, tolerance=1e-4)
    alone, _ = accelerated_gradient(gradient, start[:1], step_size=1 / BOUND, tolerance=1e-4)
    assert torch.allclose(whole[:1], alone, atol=0, rtol=1e-12)


def test_what_makes_no_sense_is_refused() -> None:
    for options in ({"step_size": 0.0}, {"step_size": float("nan")}):
        with pytest.raises(InputError, match="step_size"):
            accelerated_gradient(gradient, torch.zeros(3, 5), **options)
    with pytest.raises(InputError, match="tolerance"):
        accelerated_gradient(gradient, torch.zeros(3, 5), step_size=1.0, tolerance=-1.0)
