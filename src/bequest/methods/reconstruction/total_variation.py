"""Total variation: the classical convex regularizer, with one number to tune.

Leonid Rudin, Stanley Osher, Emad Fatemi, "Nonlinear Total Variation Based Noise Removal
Algorithms", Physica D 1992. The baseline of the learnt convex regularizers, with their solver and
search: `argmin_{x >= 0} 1/2 || H x - y ||^2 + strength TV(x)`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bequest.errors import InputError
from bequest.methods.base import Positive, method
from bequest.ops.accelerated_gradient import Convergence, accelerated_gradient
from bequest.ops.linear_maps import LinearMap
from bequest.ops.total_variation import total_variation_prox
from bequest.run import Result, Run
from bequest.synthesis.inverse_problem import (
    InverseProblem,
    Strengths,
    check_measurements,
    tune,
)


def reconstruct_by_total_variation(
    measurements: Tensor,
    operator: LinearMap,
    *,
    strength: float,
    nonnegative: bool = True,
    start: Tensor | None = None,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
) -> tuple[Tensor, Convergence]:
    """`argmin_x 1/2 || H x - y ||^2 + strength TV(x)` for a batch.

    Args:
        measurements: y, as `operator.forward` gives them.
        operator: H and its adjoint.
        strength: Above 0.
        nonnegative: Whether pixels must not be below 0.
        start: Images to start from; None takes the back-projection.
        tolerance: Of the relative change between two steps.
        max_steps: At most so many.

    Raises:
        InputError: For measurements that do not fit, or a strength that is not above 0.
    """
    if not strength > 0:
        raise InputError(f"strength is {strength}: it must be above 0.")
    back = check_measurements(measurements, operator, start)
    step = 1 / operator.norm**2
    field: Tensor | None = None

    def proximal(x: Tensor) -> Tensor:
        nonlocal field
        x, field = total_variation_prox(
            x,
            step * strength,
            nonnegative=nonnegative,
            start=field,  # of the step before: a few steps then do
            tolerance=tolerance,
            max_steps=10,
        )
        return x

    return accelerated_gradient(
        lambda x: operator.adjoint(operator.forward(x) - measurements),
        back if start is None else start,
        step_size=step,
        proximal=proximal,
        tolerance=tolerance,
        max_steps=max_steps,
    )


class TotalVariationReconstructor(nn.Module):
    """The strengths that were found for some problems."""

    def __init__(self, problems: Sequence[str], *, strength: float) -> None:
        super().__init__()
        self.strengths = Strengths(problems, {"strength": strength})

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
        """Images from measurements; see `reconstruct_by_total_variation`."""
        return reconstruct_by_total_variation(
            measurements,
            operator,
            strength=self.strengths.of(problem)[0],
            start=start,
            tolerance=tolerance,
            max_steps=max_steps,
        )


@method
class TotalVariation:
    """Total variation, tuned."""

    strength: Positive = 0.1
    """Where the search for the strength of each problem begins."""

    def fit(
        self,
        images: Tensor,
        *,
        problems: Sequence[InverseProblem] = (),
        run: Run,
        monitor: object = None,
    ) -> Result:
        """Finds the strength for each problem.

        Args:
            images: Nothing is learnt from them; other methods of the family do.
            problems: Measurements whose truth is known.
            run: How to execute.
            monitor: Of denoisers in training, of which there is none.

        Returns:
            A `TotalVariationReconstructor`, and for each problem strength and PSNR.
        """
        names = [problem.name for problem in problems]
        model = TotalVariationReconstructor(names, strength=self.strength).to(run.device)
        figures: dict[str, float] = {}
        for problem in problems:
            figures |= tune(model, problem, run, factors=(4.0,))
        return run.result(model, figures | model.strengths.figures())
