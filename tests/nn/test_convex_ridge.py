"""The regularizer: its gradient is one, it is convex, and L bounds the curvature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.convex_ridge import ConvexRidgeRegularizer


def regularizer(
    *, activation: Literal["spline", "relu"] = "spline", channels: Sequence[int] = (1, 3, 6)
) -> ConvexRidgeRegularizer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ConvexRidgeRegularizer(channels=channels, kernel_size=5, activation=activation)
        values = torch.rand(channels[-1], 21)
    if activation == "spline":
        made.activation.coefficients.data = values.cumsum(1) / 10
    return made.double()


def images(count: int = 2, side: int = 14) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.rand(count, 1, side, side, generator=rng, dtype=torch.float64)


def dense(made: ConvexRidgeRegularizer, side: int) -> torch.Tensor:
    """W as a matrix, column by column."""
    basis = torch.eye(side * side, dtype=torch.float64).view(-1, 1, side, side)
    return made.filtered(basis).flatten(1).t().detach()


@pytest.mark.parametrize("activation", ["spline", "relu"])
def test_the_gradient_is_that_of_the_cost(activation: Literal["spline", "relu"]) -> None:
    made, x = regularizer(activation=activation), images().requires_grad_()
    (expected,) = torch.autograd.grad(made.cost(x).sum(), x)
    assert torch.allclose(made.gradient(x), expected, atol=1e-10)


def test_the_adjoint_is_the_transposed_matrix() -> None:
    made, side = regularizer(), 8
    matrix = dense(made, side)
    y = torch.randn(1, 6, side, side, dtype=torch.float64)
    expected = (matrix.t() @ y.flatten()).view(1, 1, side, side)
    assert torch.allclose(made.filtered_adjoint(y), expected)
    for weight in made.weights():
        transposed = F.conv_transpose2d(y[:, : len(weight)], weight, padding=2)
        mirrored = F.conv2d(y[:, : len(weight)], weight.flip(2, 3).transpose(0, 1), padding=2)
        assert torch.allclose(transposed, mirrored)


def test_it_is_convex() -> None:
    made = regularizer()
    x, y = images(8), images(8).flip(0) * 2 - 0.5
    for share in (0.1, 0.5, 0.8):
        between = made.cost(share * x + (1 - share) * y)
        assert (between <= share * made.cost(x) + (1 - share) * made.cost(y) + 1e-10).all()
    monotone = ((made.gradient(x) - made.gradient(y)) * (x - y)).flatten(1).sum(1)
    assert (monotone >= 0).all()


def test_kernels_have_mean_zero_so_that_flat_images_cost_nothing() -> None:
    made = regularizer()
    for weight in made.weights():
        assert weight.mean((1, 2, 3)).abs().max() < 1e-12
    inside = made.filtered(torch.full((1, 1, 30, 30), 0.7, dtype=torch.float64))
    assert inside[..., 6:-6, 6:-6].abs().max() < 1e-10


def test_filters_start_with_norm_one() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = ConvexRidgeRegularizer(channels=(1, 3, 6), kernel_size=5).double()
    largest = torch.linalg.matrix_norm(dense(made, 20), 2)
    assert largest == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("side", [8, 28])
def test_the_bound_holds_for_every_size_and_is_not_far(side: int) -> None:
    made = regularizer()
    slopes = made.activation.largest_slope().detach().repeat_interleave(side * side)
    matrix = dense(made, side)
    exact = torch.linalg.eigvalsh(matrix.t() @ (slopes[:, None] * matrix))[-1].item()
    bound = made.lipschitz(side=32, steps=100)
    assert exact <= bound * (1 + 1e-6)
    if side == 28:
        assert bound < 1.15 * exact
    # The running estimate comes from below.
    for _ in range(50):
        running = made.estimated_lipschitz().item()
    assert running <= bound


def test_the_gradient_grows_no_faster_than_the_bound() -> None:
    made = regularizer()
    bound = made.lipschitz(side=32)
    x, y = images(16), images(16).flip(0)
    growth = (made.gradient(x) - made.gradient(y)).flatten(1).norm(dim=1)
    assert (growth <= bound * (x - y).flatten(1).norm(dim=1) + 1e-12).all()


def test_responses_are_the_chain_as_one_filter() -> None:
    made, x = regularizer(), images(1, 24)
    once = F.conv2d(x, made.impulse_responses(), padding=4)
    inside = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    assert torch.allclose(once[inside], made.filtered(x)[inside])


def test_pruning_drops_what_contributes_nothing() -> None:
    made, x = regularizer(), images()
    made.activation.coefficients.data[[1, 4]] = 0.0
    smaller = made.pruned()
    assert len(smaller.kernels[-1]) == 4
    assert torch.allclose(smaller.gradient(x), made.gradient(x))
    assert torch.allclose(smaller.cost(x), made.cost(x))
    made.activation.coefficients.data.zero_()
    assert len(made.pruned().kernels[-1]) == 1


def test_sizes_that_make_no_filters_are_refused() -> None:
    with pytest.raises(InputError, match="kernel_size is 4"):
        ConvexRidgeRegularizer(kernel_size=4)
    with pytest.raises(InputError, match=r"channels are \(3, 8\)"):
        ConvexRidgeRegularizer(channels=(3, 8))


def test_the_published_model_has_so_many_parameters() -> None:
    assert sum(p.numel() for p in ConvexRidgeRegularizer().parameters()) == 13_610
