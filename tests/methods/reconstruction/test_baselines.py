"""Total variation with the same solver, and the network without promises."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.errors import InputError
from bequest.methods.reconstruction.plug_and_play import PlugAndPlay, plug_and_play
from bequest.methods.reconstruction.total_variation import (
    TotalVariation,
    reconstruct_by_total_variation,
)
from bequest.metrics.images import psnr
from bequest.ops.linear_maps import LinearMap, cartesian_mask, identity, masked_fourier
from bequest.ops.total_variation import total_variation, total_variation_prox
from bequest.run import Run
from bequest.synthesis.inverse_problem import InverseProblem

SIDE = 16


def truth() -> torch.Tensor:
    image = torch.full((2, 1, SIDE, SIDE), 0.2)
    image[0, 0, 4:11, 5:12] = 0.8
    image[1, 0, :, 8:] = 0.6
    return image


def mri() -> LinearMap:
    rng = torch.Generator().manual_seed(0)
    return masked_fourier(cartesian_mask(SIDE, SIDE, acceleration=2, center=0.2, rng=rng))


def noisy(images: torch.Tensor) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return images + 0.1 * torch.randn(images.shape, generator=rng)


def test_denoising_is_the_proximal_map() -> None:
    y = noisy(truth())
    x, end = reconstruct_by_total_variation(y, identity(), strength=0.1, max_steps=200)
    expected, _ = total_variation_prox(y, 0.1, nonnegative=True, tolerance=1e-7, max_steps=3000)
    assert torch.allclose(x, expected, atol=2e-3)
    assert end.converged.all()


def test_missing_frequencies_of_a_flat_picture_come_back() -> None:
    operator = mri()
    measured = operator.forward(truth())
    x, _ = reconstruct_by_total_variation(measured, operator, strength=2e-3, max_steps=400)
    first = operator.adjoint(measured)
    assert (psnr(x, truth()) > psnr(first, truth()) + 3).all()

    def cost(image: torch.Tensor) -> torch.Tensor:
        misfit = (operator.forward(image) - measured).abs().square().flatten(1).sum(1) / 2
        return misfit + 2e-3 * total_variation(image)

    assert (cost(x) <= cost(truth()) + 1e-4).all()


def test_both_baselines_find_their_strength() -> None:
    problem = InverseProblem(
        name="denoising", operator=identity(), measurements=noisy(truth()), truth=truth()
    )
    bank = (truth() * 255).byte()
    methods = [
        TotalVariation(),
        PlugAndPlay(width=6, depth=3, steps=100, batch_size=8, learning_rate=1e-2),
    ]
    for method in methods:
        with Run(seed=0, device="cpu", precision="fp32") as run:
            result = method.fit(bank, problems=[problem], run=run)
        first = psnr(problem.measurements, problem.truth).mean().item()
        assert result.metrics["denoising_validation_psnr"] > first + 1
        assert result.metrics["denoising_strength"] > 0
        x, _ = result.model.reconstruct(problem.measurements, identity(), problem="denoising")
        assert psnr(x, problem.truth).mean().item() > first + 1
        assert all(map(math.isfinite, result.metrics.values()))


def test_plugging_in_is_one_step_of_the_denoiser_for_denoising() -> None:
    y = noisy(truth())
    x, end = plug_and_play(lambda z: z / 2, y, identity(), strength=1.0)
    assert torch.allclose(x, y / 2)
    assert end.steps == 2
    assert end.converged.all()


def test_it_says_where_it_did_not_converge() -> None:
    _, end = plug_and_play(lambda z: 1.5 * z, truth(), mri_half(), strength=1.0, max_steps=20)
    assert end.steps == 20
    assert not end.converged.any()


def mri_half() -> LinearMap:
    """Nothing is measured: what the denoiser does is all that happens."""
    return LinearMap(lambda x: 0 * x, lambda y: y)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(InputError, match="strength is 0"):
        reconstruct_by_total_variation(truth(), identity(), strength=0.0)
    with Run(seed=0, device="cpu") as run, pytest.raises(InputError, match="images must be"):
        PlugAndPlay(steps=1).fit(truth(), run=run)
