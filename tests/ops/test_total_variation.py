"""Total variation by hand, its proximal map by its duality gap."""

from __future__ import annotations

import torch

from bequest.ops.total_variation import (
    differences,
    differences_adjoint,
    total_variation,
    total_variation_prox,
)

RNG = torch.Generator().manual_seed(0)


def test_the_variation_of_a_corner() -> None:
    image = torch.zeros(1, 1, 4, 4)
    image[..., 2, 2] = 1.0
    # Left and upper neighbour see one difference each, the pixel itself two.
    assert torch.allclose(total_variation(image), torch.tensor([2 + 2**0.5]))
    assert total_variation(torch.full((2, 1, 3, 5), 0.3)).eq(0).all()


def test_the_adjoint_is_exact() -> None:
    x = torch.randn(2, 1, 5, 7, generator=RNG, dtype=torch.float64)
    p = torch.randn(2, 2, 5, 7, generator=RNG, dtype=torch.float64)
    assert torch.isclose((differences(x) * p).sum(), (x * differences_adjoint(p)).sum())


def test_two_pixels_move_towards_each_other() -> None:
    image = torch.tensor([[[[0.0, 1.0]]]])
    near, _ = total_variation_prox(image, 0.2)
    assert torch.allclose(near, torch.tensor([[[[0.2, 0.8]]]]), atol=1e-5)
    one, _ = total_variation_prox(image, 3.0)
    assert torch.allclose(one, torch.tensor([[[[0.5, 0.5]]]]), atol=1e-4)


def test_the_duality_gap_closes() -> None:
    image = torch.rand(2, 1, 12, 9, generator=RNG, dtype=torch.float64)
    weight = 0.15
    x, field = total_variation_prox(image, weight, tolerance=1e-9, max_steps=5000)
    assert field.norm(dim=1).max() <= 1 + 1e-12
    primal = (x - image).square().flatten(1).sum(1) / 2 + weight * total_variation(x)
    shrunk = image - weight * differences_adjoint(field)
    dual = (image.square() - shrunk.square()).flatten(1).sum(1) / 2
    assert torch.allclose(primal, dual, rtol=1e-6)


def test_where_asked_no_pixel_is_negative() -> None:
    image = torch.randn(1, 1, 8, 8, generator=RNG)
    x, field = total_variation_prox(image, 0.1, nonnegative=True)
    assert x.min() >= 0
    # The constrained minimum has a lower cost than the clamped free one.
    free = total_variation_prox(image, 0.1)[0].clamp(min=0)

    def cost(v: torch.Tensor) -> torch.Tensor:
        return (v - image).square().sum() / 2 + 0.1 * total_variation(v)[0]

    assert cost(x) <= cost(free) + 1e-5
    again, _ = total_variation_prox(image, 0.1, nonnegative=True, start=field)
    assert torch.allclose(again, x, atol=1e-4)
