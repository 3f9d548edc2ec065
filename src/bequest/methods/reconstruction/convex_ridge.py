"""Convex ridge: a learned convex regularizer that plugs into any linear inverse problem.

Alexis Goujon, Sebastian Neumayer, Pakshal Bohra, Stanislas Ducotterd, Michael Unser, "A
Neural-Network-Based Convex Regularizer for Inverse Problems", IEEE Transactions on Computational
Imaging 2023. The regularizer R (`bequest.nn.convex_ridge`) is a sum of one-dimensional convex
functions of filtered pixels. It is trained as a Gaussian denoiser, by t steps of gradient descent
on its own cost, and then recovers images from measurements y = H x + noise of any linear H:

    argmin_{x >= 0}  1/2 || H x - y ||^2 + (strength / scale) R(scale x)

What it promises, unlike a plain network: the cost has one minimum value, which accelerated gradient
descent with the step 1 / (||H||^2 + strength scale L) reaches from any start; as a denoiser the map
from y to x is non-expansive. `strength` (lambda) and `scale` (mu) are chosen on a few images whose
truth is known, for each problem anew; the same R serves all.

Differs: `knots`, filters and scalars have one Adam with four rates, not four Adams.
Differs: the bound L is the larger of power iteration with the border and of the maximum of the
Fourier transform; the authors take 100 to 200 power iterations alone, which come from below.
Differs: the search for strengths goes on in a direction as long as that helps and looks at other
neighbours only then; the authors compute all nine points of a grid: fewer reconstructions.
Differs: filters that hardly contribute are dropped before tuning (the authors': a speed-up at
test); `prune=0` keeps all that contribute anything.
Trap: a t-step denoiser with 1 < t < infinity is not provably non-expansive with the default step;
`averaged` takes the one that is. The minimiser (`denoise`) is in any case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.methods.base import Count, Fraction, NonNegative, Positive, method
from bequest.nn.convex_ridge import ConvexRidgeRegularizer
from bequest.ops.accelerated_gradient import Convergence, accelerated_gradient
from bequest.ops.linear_maps import LinearMap, identity
from bequest.run import Result, Run
from bequest.synthesis.denoising import (
    DenoiserMonitor,
    DenoisingLesson,
    DenoisingSettings,
    check_images,
    observe_denoiser,
)
from bequest.synthesis.inverse_problem import (
    InverseProblem,
    Strengths,
    check_measurements,
    tune,
)
from bequest.synthesis.ridge_drawings import drawn_ridges


class TStepDenoiser(nn.Module):
    """t steps of gradient descent on the cost of denoising, from the noisy image.

    Args:
        regularizer: R with its learnt strength and scale.
        steps: t.
        averaged: Whether later steps are short enough for a non-expansive map.

    Shapes:
        `(batch, 1, height, width)` to the same.
    """

    lipschitz: Tensor

    def __init__(
        self, regularizer: ConvexRidgeRegularizer, *, steps: int, averaged: bool = False
    ) -> None:
        super().__init__()
        self.regularizer, self.steps, self.averaged = regularizer, steps, averaged
        self.register_buffer("lipschitz", torch.tensor(1.0))

    def forward(self, noisy: Tensor) -> Tensor:
        """The denoised images."""
        gradient = self.regularizer.gradient
        strength, scale = self.regularizer.strength, self.regularizer.scale
        bound = self.lipschitz
        if self.training:
            # At the start the splines are 0, and so is L.
            bound = self.regularizer.estimated_lipschitz(steps=2).clamp(min=0.1)
            self.lipschitz = bound.detach()
        x = noisy - 2 / (bound * scale) * gradient(scale * noisy)
        curvature = strength * scale * bound
        alpha = 2 / (2 + curvature) if self.averaged else (2 - 1e-8) / (1 + curvature)
        for _ in range(self.steps - 1):
            x = x - alpha * ((x - noisy) + strength * gradient(scale * x))
        return x

    def settle(self) -> None:
        """Replaces the running estimate of L by the bound, for use after training."""
        self.lipschitz = self.lipschitz.new_tensor(max(self.regularizer.lipschitz(), 0.1))


def reconstruct(
    regularizer: ConvexRidgeRegularizer,
    measurements: Tensor,
    operator: LinearMap,
    *,
    strength: float,
    scale: float,
    lipschitz: float | None = None,
    nonnegative: bool = True,
    monotone: bool = False,
    start: Tensor | None = None,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
) -> tuple[Tensor, Convergence]:
    """`argmin_x 1/2 || H x - y ||^2 + (strength / scale) R(scale x)` for a batch.

    Args:
        regularizer: R.
        measurements: y, as `operator.forward` gives them.
        operator: H and its adjoint; `bequest.ops.linear_maps.as_linear_map` makes one of deepinv's
            or SciPy's.
        strength: Lambda.
        scale: mu.
        lipschitz: L of R's gradient; None computes it.
        nonnegative: Whether pixels must not be below 0.
        monotone: Whether to watch the cost, which then never rises; a third slower.
        start: Images to start from; None takes the back-projection. The minimum is the same.
        tolerance: Of the relative change that a step of `1 / ||H||^2` would make; the steps here
            are shorter, the more so the larger the strength, and move little everywhere.
        max_steps: At most so many.

    Returns:
        Images `(batch, 1, height, width)`, and how the descent ended.

    Raises:
        InputError: For measurements that do not fit or are not finite, a start of another shape,
            or a strength or scale that is not above 0.
    """
    if not (strength > 0 and scale > 0):
        raise InputError(f"strength is {strength} and scale {scale}: both must be above 0.")
    back = check_measurements(measurements, operator, start)
    bound = regularizer.lipschitz() if lipschitz is None else lipschitz

    def gradient(x: Tensor) -> Tensor:
        misfit = operator.adjoint(operator.forward(x) - measurements)
        return misfit + strength * regularizer.gradient(scale * x)

    def cost(x: Tensor) -> Tensor:
        misfit = (operator.forward(x) - measurements).abs().square().flatten(1).sum(1) / 2
        return misfit + strength / scale * regularizer.cost(scale * x)

    step_size = 1 / (operator.norm**2 + strength * scale * bound)
    return accelerated_gradient(
        gradient,
        back if start is None else start,
        step_size=step_size,
        proximal=(lambda x: x.clamp(min=0)) if nonnegative else None,
        cost=cost if monotone else None,
        tolerance=tolerance * step_size * operator.norm**2,
        max_steps=max_steps,
    )


def denoise(
    regularizer: ConvexRidgeRegularizer,
    noisy: Tensor,
    *,
    strength: float,
    scale: float,
    tolerance: float = 1e-6,
) -> Tensor:
    """The proximal denoiser, non-expansive: `reconstruct` with H the identity, pixels free."""
    images, _ = reconstruct(
        regularizer,
        noisy,
        identity(),
        strength=strength,
        scale=scale,
        nonnegative=False,
        tolerance=tolerance,
    )
    return images


class ConvexRidgeReconstructor(nn.Module):
    """A trained R with the strengths that were found for some problems.

    Args:
        regularizer: R.
        problems: Names of the problems.
        nonnegative: Whether pixels must not be below 0.
    """

    def __init__(
        self,
        regularizer: ConvexRidgeRegularizer,
        *,
        problems: Sequence[str],
        nonnegative: bool = True,
    ) -> None:
        super().__init__()
        self.regularizer, self.nonnegative = regularizer, nonnegative
        self.lipschitz = regularizer.lipschitz()
        self.strengths = Strengths(
            problems,
            {"strength": regularizer.strength.item(), "scale": regularizer.scale.item()},
        )

    def reconstruct(
        self,
        measurements: Tensor,
        operator: LinearMap,
        *,
        problem: str,
        start: Tensor | None = None,
        tolerance: float = 1e-5,
        max_steps: int = 500,
        monotone: bool = False,
    ) -> tuple[Tensor, Convergence]:
        """Images from measurements; see the function `reconstruct`."""
        strength, scale = self.strengths.of(problem)
        return reconstruct(
            self.regularizer,
            measurements,
            operator,
            strength=strength,
            scale=scale,
            lipschitz=self.lipschitz,
            nonnegative=self.nonnegative,
            monotone=monotone,
            start=start,
            tolerance=tolerance,
            max_steps=max_steps,
        )


@method
class ConvexRidge:
    """A Neural-Network-Based Convex Regularizer for Inverse Problems."""

    filters: Count = 32
    """Filters, each with a function of its own."""
    hidden_channels: Count = 8
    """Channels between the two convolutions that the filters consist of."""
    kernel_size: Count = 7
    """Of each convolution, odd: filters are twice as wide less one."""
    knots: Count = 21
    """Of each spline, odd."""
    knot_range: Positive = 0.1
    """Splines are flat beyond, for images in [0, 1]."""
    activation: Literal["spline", "relu"] = "spline"
    """The functions' derivatives: learnt splines, or shifted ReLUs (the ablation)."""
    noise: Positive = 25.0
    """Standard deviation of the noise in training, in grey levels of 255 (the paper: 5 and 25)."""
    denoiser_steps: Count = 10
    """t, gradient steps of the denoiser in training (the paper: 1 to 50)."""
    averaged: bool = False
    """Whether later steps are short enough for a non-expansive t-step denoiser."""
    steps: Count = 20_000
    """Training steps (the authors: 11 passes over 238,000 patches)."""
    batch_size: Count = 128
    """Patches a step."""
    lr_filters: Positive = 1e-3
    """Of Adam on the kernels."""
    lr_activation: Positive = 5e-5
    """Of Adam on the splines' coefficients, or the ReLUs' biases."""
    lr_strength: Positive = 0.05
    """Of Adam on lambda."""
    lr_scale: Positive = 0.05
    """Of Adam on mu."""
    decay: Fraction = 0.75
    """All rates are multiplied with it after each eleventh of the run."""
    sparsity: NonNegative = 0.002
    """Weight of the bends (TV2) of the splines, times `noise`: leaves few knots."""
    prune: NonNegative = 1e-4
    """Filters are dropped whose energy times bends is not above this."""
    tune_scale: bool = True
    """Whether mu is tuned for each problem too, or lambda alone."""
    nonnegative: bool = True
    """Whether reconstructed pixels must not be below 0."""

    def fit(
        self,
        images: Tensor,
        *,
        problems: Sequence[InverseProblem] = (),
        run: Run,
        monitor: DenoiserMonitor | None = None,
    ) -> Result:
        """Trains R on clean images; finds its strengths for problems.

        Args:
            images: `(count, 1, height, width)`, uint8: patches, 40x40 in the paper.
            problems: Measurements whose truth is known, none of it in `images`.
            run: How to execute.
            monitor: Figures of the t-step denoiser to report during the run.

        Returns:
            A `ConvexRidgeReconstructor`; the learnt strength and scale, L, how many filters are
            left, and for each problem the strengths and the PSNR that they reach on it.

        Raises:
            InputError: When images or sizes cannot be used, before any work.
        """
        check_images(images)
        regularizer = ConvexRidgeRegularizer(
            channels=(1, self.hidden_channels, self.filters),
            kernel_size=self.kernel_size,
            knots=self.knots,
            knot_range=self.knot_range,
            activation=self.activation,
        )
        denoiser = TStepDenoiser(regularizer, steps=self.denoiser_steps, averaged=self.averaged)
        denoiser = denoiser.to(run.device)
        lesson = DenoisingLesson(
            denoiser,
            images,
            [
                (list(regularizer.kernels), self.lr_filters),
                (list(regularizer.activation.parameters()), self.lr_activation),
                ([regularizer.raw_strength], self.lr_strength),
                ([regularizer.raw_scale], self.lr_scale),
            ],
            DenoisingSettings(noise=self.noise, batch_size=self.batch_size, decay=self.decay),
            run,
            penalty=lambda: self.sparsity * self.noise * regularizer.activation.bends().sum(),
        )
        for _ in run.steps(self.steps, state={"lesson": lesson}):
            if run.due(times=10):
                observe_denoiser(denoiser, run, monitor)
            lesson.step()
        denoiser.settle()
        figures = {
            "strength": regularizer.strength.item(),
            "scale": regularizer.scale.item(),
            "lipschitz": denoiser.lipschitz.item(),
        }
        figures |= observe_denoiser(denoiser, run, monitor)
        model = ConvexRidgeReconstructor(
            regularizer.pruned(self.prune),
            problems=[problem.name for problem in problems],
            nonnegative=self.nonnegative,
        )
        scale = regularizer.scale.item()
        for problem in problems:
            # With a scale much larger the functions are all but kinks, and descent crawls; with
            # one much smaller all but parabolas, where strength and scale do the same.
            figures |= tune(
                model,
                problem,
                run,
                factors=(4.0, 4.0 if self.tune_scale else 1.0),
                lower=(0.0, scale / 4),
                upper=(math.inf, 32 * scale),
            )
        figures |= model.strengths.figures() | {"filters": len(model.regularizer.kernels[-1])}
        run.picture("filters with activations and potentials", drawn_ridges(model.regularizer))
        return run.result(model, figures)
