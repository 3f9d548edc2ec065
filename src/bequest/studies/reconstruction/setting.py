"""What all studies of reconstruction share: pictures, measurements, figures, guarantees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bequest.data.pictures import (
    PictureData,
    middles,
    package_note,
    package_pictures,
    patches,
    reconstruction_pictures,
)
from bequest.metrics.images import psnr, ssim
from bequest.ops.linear_maps import (
    LinearMap,
    cartesian_mask,
    identity,
    masked_fourier,
    parallel_beam,
)
from bequest.run import Budget, Result, Run
from bequest.studies.reconstruction.guarantees import guarantees
from bequest.synthesis.denoising import DenoiserMonitor
from bequest.synthesis.inverse_problem import InverseProblem
from bequest.synthesis.ridge_drawings import drawn_course


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies."""

    data: Callable[[], PictureData]
    problems: tuple[str, ...]
    """Of denoising, mri, ct; the first is the one that `psnr` is of."""
    test_side: int
    """Of the square in the middle of each test picture."""
    validation_side: int
    """Of the same of each validation picture, for tuning."""
    noise: float
    """Of denoising, in grey levels of 255, in training and in the test."""
    flops: float
    """Budget of training, the same for every arm."""
    note: str
    acceleration: float = 2.0
    """How many times fewer columns the scanner takes than all."""
    patch: int = 40
    """Side of the training patches."""
    stride: int = 20
    """Between two patches."""
    limit: int = 100
    """Largest number of test pictures."""


_ALL = ("denoising", "mri", "ct")
_MEASURED = "denoising at 25 of 255, MRI with half of the columns, CT with 30 directions"
SETTINGS = {
    "default": Setting(
        data=package_pictures,
        problems=_ALL,
        test_side=96,
        validation_side=64,
        noise=25.0,
        flops=1.5e11,
        note=f"{package_note()}, halved, squares of 96 in the middle; {_MEASURED}",
        patch=32,
        stride=10,
    ),
    "smoke": Setting(
        data=partial(package_pictures, shrink=4),
        problems=_ALL,
        test_side=32,
        validation_side=32,
        noise=25.0,
        flops=2e9,
        note=f"{package_note()}, quartered, squares of 32; the same problems; seconds",
        patch=24,
        limit=2,
    ),
    "bsd68": Setting(
        data=partial(reconstruction_pictures, "bsd68"),
        problems=("denoising",),
        test_side=321,
        validation_side=160,
        noise=25.0,
        flops=2e13,
        note="BSD: 300 photographs to train on, Set12 to choose on, the middle 321x321 of the 68 "
        "of BSD68; denoising at 25 of 255",
    ),
    "bsd68-sigma-5": Setting(
        data=partial(reconstruction_pictures, "bsd68"),
        problems=("denoising",),
        test_side=321,
        validation_side=160,
        noise=5.0,
        flops=2e13,
        note="as bsd68, denoising at 5 of 255",
    ),
    "mri-knee": Setting(
        data=partial(reconstruction_pictures, "mri-knee"),
        problems=("mri",),
        test_side=320,
        validation_side=320,
        noise=5.0,
        acceleration=4.0,
        flops=2e13,
        note="fastMRI knees, 71 + 4 + 20 pictures of 320x320, one coil simulated with 4 times "
        "fewer columns; trained on noise of 5 of 255",
    ),
    "ct-phantoms": Setting(
        data=partial(reconstruction_pictures, "ct-phantoms", shrink=2),
        problems=("ct",),
        test_side=256,
        validation_side=256,
        noise=5.0,
        flops=2e13,
        note="chest phantoms, 20 + 4 + 6 pictures of 256x256, parallel beam with 30 directions; "
        "trained on noise of 5 of 255",
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}

_MEASUREMENT_NOISE = {"mri": 0.01, "ct": 0.005}
"""Standard deviation of the noise on Fourier coefficients and on line integrals over the norm."""


def budget(size: str) -> Budget:
    """The same FLOPs of training for every arm of that size."""
    return Budget(flops=SETTINGS[size].flops)


def execute(method: Any, size: str, run: Run) -> Result:
    """Trains and tunes, then recovers the test pictures from their measurements.

    Measurements depend on the seed alone, so arms are paired. `psnr` and `ssim` are of the first
    problem of the setting; each problem has its own too, for example `mri_psnr`, beside the PSNR of
    the back-projection (`mri_first_psnr`) and the share that converged (`mri_converged`).
    """
    setting = SETTINGS[size]
    pictures = setting.data()
    bank = patches(pictures.train, side=setting.patch, stride=setting.stride)
    held_back = middles(pictures.validation[:10], side=setting.validation_side)
    result: Result = method.fit(
        bank,
        problems=[measured(name, held_back, setting, run) for name in setting.problems],
        run=run,
        monitor=denoiser_monitor(held_back, setting.noise, run),
    )
    test = middles(pictures.test[: setting.limit], side=setting.test_side)
    model: Any = result.model
    for name in setting.problems:
        problem = measured(name, test, setting, run)
        with run.section("evaluation"):
            images, converged = recover(model, problem)
        first = problem.operator.adjoint(problem.measurements)
        figures = {
            f"{name}_psnr": psnr(images, problem.truth).mean().item(),
            f"{name}_ssim": ssim(images, problem.truth).mean().item(),
            f"{name}_first_psnr": psnr(first, problem.truth).mean().item(),
            f"{name}_converged": converged,
        }
        result.metrics |= figures
        run.picture(f"{name} truth measured recovered error", _row(problem, first, images))
    for figure in ("psnr", "ssim"):
        result.metrics[figure] = result.metrics[f"{setting.problems[0]}_{figure}"]
    with run.section("evaluation"):
        first_problem = measured(setting.problems[0], held_back, setting, run)
        found, costs = guarantees(model, first_problem, run)
        result.metrics |= found
        if "mri" in setting.problems[1:]:
            started, _ = guarantees(model, measured("mri", held_back, setting, run), run)
            result.metrics["mri_start_agreement"] = started["start_agreement"]
    if len(costs):
        run.picture("course of the cost", drawn_course(costs))
    return result


def recover(model: Any, problem: InverseProblem, *, batch_size: int = 4) -> tuple[Tensor, float]:
    """What a trained model recovers.

    Returns:
        Images `(count, 1, height, width)` in [0, 1], and the share that converged, in [0, 1].
    """
    images, converged = [], []
    for part in problem.measurements.split(batch_size):
        found, end = model.reconstruct(
            part, problem.operator, problem=problem.name, tolerance=1e-4, max_steps=300
        )
        images.append(found)
        converged.append(end.converged)
    return torch.cat(images).clamp(0, 1), torch.cat(converged).float().mean().item()


def measured(name: str, pixels: Tensor, setting: Setting, run: Run) -> InverseProblem:
    """A problem on uint8 pictures `(count, 1, side, side)`, with noise that the seed decides."""
    truth = pixels.to(run.device).float() / 255
    side = pixels.shape[-1]
    # Of its own, so that arms which draw differently have the same measurements.
    rng = torch.Generator(run.device).manual_seed(seed_of(name, side, run.seed))
    operator = operator_of(name, side, rng, acceleration=setting.acceleration)
    clean = operator.forward(truth)
    deviation = setting.noise / 255 if name == "denoising" else _MEASUREMENT_NOISE[name]
    noise = torch.randn(clean.shape, dtype=clean.dtype, generator=rng, device=run.device)
    measurements = clean + deviation * noise
    if clean.is_complex():
        measurements = measurements * (clean != 0)
    return InverseProblem(name=name, operator=operator, measurements=measurements, truth=truth)


def operator_of(name: str, side: int, rng: torch.Generator, *, acceleration: float) -> LinearMap:
    """How pictures of that side are measured."""
    match name:
        case "denoising":
            return identity()
        case "mri":
            mask = cartesian_mask(side, side, acceleration=acceleration, center=0.08, rng=rng)
            return masked_fourier(mask)
        case _:
            return parallel_beam(side, angles=30, device=rng.device)


def seed_of(name: str, side: int, seed: int) -> int:
    """A seed for the measurements, the same in every process."""
    return (seed * 1000 + side) * 10 + len(name)


def denoiser_monitor(pixels: Tensor, noise: float, run: Run) -> DenoiserMonitor:
    """PSNR of a denoiser on uint8 pictures, noise as in training; always the same noise."""
    truth = pixels.to(run.device).float() / 255
    rng = torch.Generator(run.device).manual_seed(run.seed)
    noisy = truth + noise / 255 * torch.randn(truth.shape, generator=rng, device=run.device)

    def monitor(denoiser: nn.Module) -> dict[str, float]:
        return {"denoiser_psnr": psnr(denoiser(noisy), truth).mean().item()}

    return monitor


def _row(problem: InverseProblem, first: Tensor, images: Tensor, *, count: int = 2) -> Tensor:
    """For the first pictures: the truth, what is measured, what is recovered, ten times the error.

    The report lays a batch out in a square: 4 of 2 pictures and 2 empty places would look torn, so
    they are joined side by side.
    """
    error = (10 * (images - problem.truth).abs()).clamp(0, 1)
    columns = [problem.truth, first / first.amax((1, 2, 3), keepdim=True), images, error]
    rows = torch.cat([column[:count].clamp(0, 1) for column in columns], 3)
    return torch.cat(list(rows), 1)[None]
