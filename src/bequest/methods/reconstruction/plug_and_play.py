"""Plug and play: a trained network in place of a regularizer, which promises nothing.

Singanallur Venkatakrishnan, Charles Bouman, Brendt Wohlberg, "Plug-and-Play Priors for Model Based
Reconstruction", IEEE GlobalSIP 2013, by forward-backward splitting. A convolutional denoiser
without constraints takes the place of the proximal map:

    z = x - H^T(H x - y) / ||H||^2        x <- z + strength (denoiser(z) - z)

For denoising that is the denoiser itself. It may diverge, expand, or depend on where it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bequest.methods.base import Count, Fraction, Positive, method
from bequest.nn.residual_cnn import ResidualCNN
from bequest.ops.accelerated_gradient import Convergence
from bequest.ops.linear_maps import LinearMap
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


@torch.no_grad()
def plug_and_play(
    denoiser: Callable[[Tensor], Tensor],
    measurements: Tensor,
    operator: LinearMap,
    *,
    strength: float,
    start: Tensor | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 500,
) -> tuple[Tensor, Convergence]:
    """Forward-backward splitting with a denoiser, for a batch.

    Args:
        denoiser: `(batch, 1, height, width)` to the same.
        measurements: y, as `operator.forward` gives them.
        operator: H and its adjoint.
        strength: How much of the denoiser's change is taken, in [0, 1].
        start: Images to start from; None takes the back-projection.
        tolerance: Of the relative change of all images between two steps.
        max_steps: At most so many.

    Returns:
        The last images, whether it converged or not, and which did.
    """
    back = check_measurements(measurements, operator, start)
    x = back if start is None else start
    change = torch.full((len(x),), torch.inf, device=x.device)
    step = 0
    while step < max_steps and not bool((change < tolerance).all()):
        z = x - operator.adjoint(operator.forward(x) - measurements) / operator.norm**2
        new = z + strength * (denoiser(z) - z)
        change = (new - x).flatten(1).norm(dim=1) / new.flatten(1).norm(dim=1).clamp(min=1e-30)
        x = new
        step += 1
    return x, Convergence(
        steps=step, converged=change < tolerance, change=change, costs=x.new_zeros(0, len(x))
    )


class PlugAndPlayReconstructor(nn.Module):
    """A trained denoiser with the strengths that were found for some problems."""

    def __init__(self, denoiser: nn.Module, problems: Sequence[str]) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.strengths = Strengths(problems, {"strength": 1.0})

    def reconstruct(
        self,
        measurements: Tensor,
        operator: LinearMap,
        *,
        problem: str,
        start: Tensor | None = None,
        tolerance: float = 1e-5,
        max_steps: int = 500,
    ) -> tuple[Tensor, Convergence]:
        """Images from measurements; see `plug_and_play`."""
        return plug_and_play(
            self.denoiser,
            measurements,
            operator,
            strength=self.strengths.of(problem)[0],
            start=start,
            tolerance=tolerance,
            max_steps=max_steps,
        )


@method
class PlugAndPlay:
    """An unconstrained convolutional denoiser, plugged in."""

    width: Count = 64
    """Channels of the network."""
    depth: Count = 17
    """3x3 convolutions of the network (DnCNN's 17)."""
    noise: Positive = 25.0
    """Standard deviation of the noise in training, in grey levels of 255."""
    steps: Count = 20_000
    """Training steps."""
    batch_size: Count = 128
    """Patches a step."""
    learning_rate: Positive = 1e-3
    """Of Adam."""
    decay: Fraction = 0.75
    """The rate is multiplied with it after each eleventh of the run."""

    def fit(
        self,
        images: Tensor,
        *,
        problems: Sequence[InverseProblem] = (),
        run: Run,
        monitor: DenoiserMonitor | None = None,
    ) -> Result:
        """Trains the denoiser on clean images; finds its strength for problems.

        Args:
            images: `(count, 1, height, width)`, uint8.
            problems: Measurements whose truth is known, none of it in `images`.
            run: How to execute.
            monitor: Figures of the denoiser to report during the run.

        Returns:
            A `PlugAndPlayReconstructor`, and for each problem strength and PSNR.

        Raises:
            InputError: When images or sizes cannot be used, before any work.
        """
        check_images(images)
        denoiser = ResidualCNN(width=self.width, depth=self.depth).to(run.device)
        lesson = DenoisingLesson(
            denoiser,
            images,
            [(list(denoiser.parameters()), self.learning_rate)],
            DenoisingSettings(noise=self.noise, batch_size=self.batch_size, decay=self.decay),
            run,
        )
        for _ in run.steps(self.steps, state={"lesson": lesson}):
            if run.due(times=10):
                observe_denoiser(denoiser, run, monitor)
            lesson.step()
        figures = observe_denoiser(denoiser, run, monitor)
        model = PlugAndPlayReconstructor(denoiser.eval(), [p.name for p in problems])
        model = model.to(run.device)
        for problem in problems:
            figures |= tune(model, problem, run, factors=(4.0,), upper=(1.0,))
        return run.result(model, figures | model.strengths.figures())
