"""The spline against linear interpolation and numerical integration; what it promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from bequest.errors import InputError
from bequest.nn.monotone_spline import MonotoneSpline, ShiftedReLU


def spline(channels: int = 3, knots: int = 9, seed: int = 0) -> MonotoneSpline:
    made = MonotoneSpline(channels, knots=knots, knot_range=0.2).double()
    rng = torch.Generator().manual_seed(seed)
    made.coefficients.data = torch.randn(channels, knots, generator=rng).double().cumsum(1)
    return made


def naive_projection(row: list[float]) -> list[float]:
    slopes = [max(b - a, 0.0) for a, b in itertools.pairwise(row)]
    slopes[0] = slopes[-1] = 0.0
    values = [0.0]
    for slope in slopes:
        values.append(values[-1] + slope)
    return [value - values[len(row) // 2] for value in values]


def test_coefficients_are_projected_as_published() -> None:
    made = spline()
    expected = [naive_projection(row) for row in made.coefficients.tolist()]
    assert np.allclose(made.projected().detach().numpy(), expected)


def test_values_are_interpolated_and_constant_outside() -> None:
    made = spline()
    x = (
        torch.linspace(-0.5, 0.5, 97, dtype=torch.float64).expand(2, 3, 97)
        * torch.tensor([1.0, 0.3]).double()[:, None, None]
    )
    knots = np.linspace(-0.2, 0.2, 9)
    for channel, values in enumerate(made.projected().detach().numpy()):
        expected = np.interp(x[:, channel].numpy(), knots, values)
        assert np.allclose(made(x)[:, channel].detach().numpy(), expected)


def test_the_integral_is_the_area_and_convex() -> None:
    made = spline()
    x = torch.linspace(-0.4, 0.4, 8001, dtype=torch.float64).expand(1, 3, -1)
    values, areas = made(x).detach(), made.integral(x).detach()
    cumulative = torch.cumulative_trapezoid(values, x, dim=2)
    rebuilt = torch.cat([torch.zeros(1, 3, 1).double(), cumulative], 2)
    rebuilt = rebuilt - rebuilt[..., 4000, None]
    assert torch.allclose(areas, rebuilt, atol=1e-6)
    assert (areas >= -1e-12).all()
    assert (areas.diff(n=2, dim=2) >= -1e-12).all()


def test_it_rises_is_zero_at_zero_and_its_slope_is_known() -> None:
    made = spline()
    x = torch.linspace(-0.4, 0.4, 2001, dtype=torch.float64).expand(1, 3, -1)
    rise = made(x).diff(dim=2) / x.diff(dim=2)
    assert (rise >= -1e-9).all()
    assert torch.allclose(rise.amax((0, 2)), made.largest_slope(), rtol=1e-6)
    assert made(torch.zeros(1, 3, 2).double()).abs().max() < 1e-12


def test_bends_are_the_changes_of_slope() -> None:
    made = spline()
    values = made.projected().detach().numpy()
    expected = np.abs(np.diff(np.diff(values, axis=1) / 0.05, axis=1)).sum(1)
    assert np.allclose(made.bends().detach().numpy(), expected)


def test_gradients_are_right_for_values_and_coefficients() -> None:
    made = MonotoneSpline(2, knots=5, knot_range=0.2).double()
    made.coefficients.data = torch.tensor([[0, 0.1, 0.3, 0.7, 0.8], [0, 0.2, 0.25, 0.5, 1.0]])
    made = made.double()
    # Neither at a knot nor at a slope of 0, where there is a kink.
    x = torch.tensor([[[-0.15, -0.03, 0.06, 0.31], [-0.07, 0.02, 0.09, -0.4]]]).double()
    weights = torch.tensor([1.0, -2.0, 3.0, 0.5]).double()
    x.requires_grad_()
    (made(x) * weights).sum().backward()
    for tensor, gradient in ((x, x.grad), (made.coefficients, made.coefficients.grad)):
        for place in itertools.product(*map(range, tensor.shape)):
            with torch.no_grad():
                values = []
                for change in (1e-6, -2e-6):
                    tensor[place] += change
                    values.append((made(x) * weights).sum().item())
                tensor[place] += 1e-6
            expected = (values[0] - values[1]) / 2e-6
            assert gradient[place].item() == pytest.approx(expected, abs=1e-6), place


def test_learning_leaves_zero() -> None:
    """All slopes start at 0, where a relu would pass no gradient."""
    made = MonotoneSpline(2)
    made(torch.tensor([[[0.05, -0.04], [0.02, 0.03]]])).sum().backward()
    assert made.coefficients.grad.abs().sum() > 0


def test_relus_have_the_same_face() -> None:
    made = ShiftedReLU(2)
    made.bias.data = torch.tensor([0.5, -1.0])
    x = torch.tensor([[[1.0, -1.0], [3.0, 0.5]]])
    assert torch.equal(made(x), torch.tensor([[[1.5, 0.0], [2.0, 0.0]]]))
    assert torch.equal(made.integral(x), torch.tensor([[[1.125, 0.0], [2.0, 0.0]]]))
    assert made.largest_slope().tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("knots", "reach"), [(20, 0.1), (3, 0.1), (21, 0.0)])
def test_knots_without_one_at_zero_are_refused(knots: int, reach: float) -> None:
    with pytest.raises(InputError, match=f"knots is {knots}"):
        MonotoneSpline(4, knots=knots, knot_range=reach)
