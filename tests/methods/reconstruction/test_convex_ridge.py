"""What convex ridge promises, on small regularizers with drawn weights; what it refuses."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

from bequest.errors import InputError
from bequest.methods.base import change, configure
from bequest.methods.reconstruction.convex_ridge import (
    ConvexRidge,
    TStepDenoiser,
    denoise,
    reconstruct,
)
from bequest.metrics.images import psnr
from bequest.nn.convex_ridge import ConvexRidgeRegularizer
from bequest.ops.linear_maps import cartesian_mask, identity, masked_fourier, parallel_beam
from bequest.run import Run
from bequest.synthesis.inverse_problem import InverseProblem

SIDE = 16
TINY = ConvexRidge(
    filters=4, hidden_channels=2, kernel_size=3, denoiser_steps=2, steps=6, batch_size=4,
    lr_activation=1e-3,
)  # fmt: skip
STRENGTHS = {"strength": 0.5, "scale": 1.5}


def regularizer(seed: int = 0) -> ConvexRidgeRegularizer:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = ConvexRidgeRegularizer(channels=(1, 3, 6), kernel_size=5)
        made.activation.coefficients.data = torch.rand(6, 21).cumsum(1) / 10
    return made.double().requires_grad_(False)


def images(count: int = 2, seed: int = 1) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    smooth = torch.rand(count, 1, 5, 5, generator=rng, dtype=torch.float64)
    return torch.nn.functional.interpolate(smooth, size=SIDE, mode="bicubic").clamp(0, 1)


def operators() -> dict[str, object]:
    mask = cartesian_mask(
        SIDE, SIDE, acceleration=2, center=0.1, rng=torch.Generator().manual_seed(0)
    )
    radon = parallel_beam(SIDE, angles=9, dtype=torch.float64)
    return {"denoising": identity(), "mri": masked_fourier(mask), "ct": radon}


@pytest.mark.parametrize("name", ["denoising", "mri", "ct"])
def test_the_cost_falls_monotonically_with_the_promised_step(name: str) -> None:
    """Plain descent with the step 1 / (norm^2 + strength scale L), which accelerated uses."""
    made, operator, truth = regularizer(), operators()[name], images()
    measured = operator.forward(truth)
    bound = made.lipschitz()
    step = 1 / (operator.norm**2 + STRENGTHS["strength"] * STRENGTHS["scale"] * bound)

    def cost(x: torch.Tensor) -> torch.Tensor:
        misfit = (operator.forward(x) - measured).abs().square().flatten(1).sum(1) / 2
        share = STRENGTHS["strength"] / STRENGTHS["scale"]
        return misfit + share * made.cost(STRENGTHS["scale"] * x)

    x, costs = torch.rand_like(truth), []
    for _ in range(40):
        costs.append(cost(x))
        gradient = operator.adjoint(operator.forward(x) - measured)
        gradient = gradient + STRENGTHS["strength"] * made.gradient(STRENGTHS["scale"] * x)
        x = (x - step * gradient).clamp(min=0)
    assert (torch.stack(costs).diff(dim=0) <= 1e-12).all()
    _, end = reconstruct(
        made, measured, operator, **STRENGTHS, lipschitz=bound, monotone=True, max_steps=200
    )
    assert (end.costs.diff(dim=0) <= 0).all()
    assert (end.costs[-1] <= costs[-1] + 1e-9).all()


@pytest.mark.parametrize("name", ["denoising", "mri", "ct"])
def test_the_outcome_does_not_depend_on_the_start(name: str) -> None:
    made, operator, truth = regularizer(), operators()[name], images()
    noise = torch.Generator().manual_seed(5)
    measured = operator.forward(truth)
    starts = [None, torch.zeros_like(truth),
              torch.rand(truth.shape, generator=noise, dtype=torch.float64)]  # fmt: skip
    found = [
        reconstruct(made, measured, operator, **STRENGTHS, start=start, tolerance=1e-10,
                    max_steps=2000)[0]
        for start in starts
    ]  # fmt: skip
    tight = 1e-5 if name == "denoising" else 2e-3  # the others have flat directions
    for other in found[1:]:
        assert (other - found[0]).abs().max() < tight


def test_large_strengths_end_at_the_minimum_too() -> None:
    """There steps are short: a tolerance of their own length would end it far away."""
    made, noisy = regularizer(), images()
    strong = {"strength": 500.0, "scale": 1.5}
    exact, _ = reconstruct(made, noisy, identity(), **strong, tolerance=0, max_steps=4_000)
    found, end = reconstruct(made, noisy, identity(), **strong, tolerance=1e-3, max_steps=4_000)
    assert end.converged.all()
    assert ((found - exact).norm() / exact.norm()).item() < 1e-3


def test_the_proximal_denoiser_is_non_expansive_and_firmly_so() -> None:
    made, rng = regularizer(), torch.Generator().manual_seed(3)
    first = images(3)
    for size in (1e-2, 0.3, 3.0):
        second = first + size * torch.randn(first.shape, generator=rng, dtype=torch.float64)
        x, y = (denoise(made, z, **STRENGTHS, tolerance=1e-9) for z in (first, second))
        moved, given = (x - y).flatten(1), (first - second).flatten(1)
        assert (moved.norm(dim=1) <= given.norm(dim=1) * (1 + 1e-7)).all()
        assert (moved.square().sum(1) <= (moved * given).sum(1) * (1 + 1e-6)).all()


def test_one_step_and_averaged_steps_are_non_expansive() -> None:
    first = images(6)
    rng = torch.Generator().manual_seed(4)
    second = first + 0.2 * torch.randn(first.shape, generator=rng, dtype=torch.float64)
    for steps, averaged in ((1, False), (5, True)):
        denoiser = TStepDenoiser(regularizer(), steps=steps, averaged=averaged).double().eval()
        denoiser.settle()
        moved = (denoiser(first) - denoiser(second)).flatten(1).norm(dim=1)
        assert (moved <= (first - second).flatten(1).norm(dim=1) * (1 + 1e-9)).all()


def test_many_averaged_steps_are_the_proximal_denoiser() -> None:
    made = regularizer()
    made.raw_strength.fill_(0.5)
    made.raw_scale.fill_(1.5)
    denoiser = TStepDenoiser(made, steps=400, averaged=True).double().eval()
    denoiser.settle()
    noisy = images()
    assert torch.allclose(denoiser(noisy), denoise(made, noisy, **STRENGTHS), atol=1e-5)


def test_a_step_by_hand() -> None:
    """x1 = y - 2 / (L mu) R'(mu y); then x - alpha ((x - y) + lambda R'(mu x))."""
    made, y = regularizer(), images(1)
    denoiser = TStepDenoiser(made, steps=2).double().eval()
    denoiser.lipschitz.fill_(0.8)
    one = y - 2 / (0.8 * 1.0) * made.gradient(y)
    alpha = (2 - 1e-8) / (1 + 0.8 * 5.0)
    expected = one - alpha * (one - y + 5.0 * made.gradient(one))
    assert torch.allclose(denoiser(y), expected)


def bank() -> torch.Tensor:
    return (images(20, seed=8) * 255).round().byte()


def problems() -> list[InverseProblem]:
    truth = images(2, seed=9).float()
    rng = torch.Generator().manual_seed(0)
    noisy = truth + 0.1 * torch.randn(truth.shape, generator=rng)
    return [InverseProblem(name="denoising", operator=identity(), measurements=noisy, truth=truth)]


def test_fit_trains_tunes_and_recovers() -> None:
    method = change(TINY, steps=60)
    monitored = []

    def monitor(denoiser: torch.nn.Module) -> dict[str, float]:
        assert not denoiser.training
        monitored.append(0)
        return {"denoiser_psnr": psnr(denoiser(noisy.measurements), noisy.truth).mean().item()}

    noisy = problems()[0]
    with Run(seed=0, device="cpu", precision="fp32") as run:
        result = method.fit(bank(), problems=[noisy], run=run, monitor=monitor)
    assert len(monitored) == 11
    before = psnr(noisy.measurements, noisy.truth).mean().item()
    after, end = result.model.reconstruct(noisy.measurements, identity(), problem="denoising")
    assert psnr(after, noisy.truth).mean().item() > before + 1
    assert end.converged.all()
    assert result.metrics["denoising_validation_psnr"] > before + 1
    assert result.model.strengths.of("denoising")[0] == result.metrics["denoising_strength"]
    assert all(map(math.isfinite, result.metrics.values()))


def test_a_broken_off_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    options = {"seed": 0, "device": "cpu", "precision": "fp32", "checkpoint_seconds": 0.0}
    whole = _fit(Run(**options))
    run, count = Run(tmp_path, **options), 0
    logged = run.log

    def log(**values: torch.Tensor) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        logged(**values)

    run.log = log  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        _fit(run)
    resumed = _fit(Run(tmp_path, resume=True, **options))
    for one, other in zip(whole.values(), resumed.values()):
        assert torch.equal(one, other)


def _fit(run: Run) -> dict[str, torch.Tensor]:
    with run:
        weights: dict[str, torch.Tensor] = TINY.fit(bank(), run=run).model.state_dict()
    return weights


def test_what_cannot_work_is_refused_before_any_work() -> None:
    with pytest.raises(InputError, match="activation"):
        configure(ConvexRidge, {"activation": "tanh"})
    with Run(seed=0, device="cpu") as run:
        with pytest.raises(InputError, match="kernel_size is 4"):
            change(TINY, kernel_size=4).fit(bank(), run=run)
        with pytest.raises(InputError, match="images must be"):
            TINY.fit(images(), run=run)
    with pytest.raises(InputError, match="strength is -1"):
        reconstruct(regularizer(), images(), identity(), strength=-1.0, scale=1.0)
    with pytest.raises(InputError, match="NaN"):
        reconstruct(regularizer(), images() * torch.nan, identity(), **STRENGTHS)
    with pytest.raises(InputError, match="of images"):
        reconstruct(regularizer(), images(), identity(), **STRENGTHS, start=torch.zeros(2, 1, 3, 3))


CHECKPOINT = os.environ.get("BEQUEST_CONVEX_RIDGE_CHECKPOINT", "")


@pytest.mark.skipif(
    not Path(CHECKPOINT).is_file(),
    reason="BEQUEST_CONVEX_RIDGE_CHECKPOINT names no checkpoint of the authors (Sigma_25_t_10)",
)
def test_the_authors_weights_denoise_as_well_here() -> None:
    """On the first pictures of BSD68 theirs reach 28.5 dB at noise 25 (t = 10)."""
    from bequest.data.pictures import reconstruction_pictures

    saved = torch.load(CHECKPOINT, weights_only=True, map_location="cpu")["state_dict"]
    made = ConvexRidgeRegularizer()
    layers = "conv_layer.conv_layers.{}.parametrizations.weight.original"
    for place, kernel in enumerate(made.kernels):
        kernel.data = saved[layers.format(place)]
    made.activation.coefficients.data = saved["activation.coefficients_vect"].view(32, 21)
    made.raw_strength.data, made.raw_scale.data = saved["lmbd"], saved["mu"]
    denoiser = TStepDenoiser(made, steps=10).eval()
    denoiser.settle()
    assert denoiser.lipschitz.item() == pytest.approx(saved["L"].item(), rel=0.05)
    values = []
    for picture in reconstruction_pictures("bsd68").test[:6]:
        truth = picture[None, None].float() / 255
        noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            values.append(psnr(denoiser(truth + 25 / 255 * noise).clamp(0, 1), truth).item())
    assert sum(values) / len(values) == pytest.approx(28.52, abs=0.05)
