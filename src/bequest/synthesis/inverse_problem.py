"""Images from measurements: the problem, and what every method of recovering them offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.metrics.images import psnr
from bequest.ops.accelerated_gradient import Convergence
from bequest.ops.linear_maps import LinearMap
from bequest.ops.search import coarse_to_fine
from bequest.run import Run


@dataclass(frozen=True, kw_only=True, eq=False)
class InverseProblem:
    """Measurements of images that are known: on these a method chooses its strength.

    Attributes:
        name: What the strengths that were found are kept under.
        operator: How images are measured.
        measurements: `operator.forward(truth)` and noise.
        truth: `(count, 1, height, width)`, about in [0, 1].

    Raises:
        InputError: When shapes do not fit or something is not finite.
    """

    name: str
    operator: LinearMap
    measurements: Tensor
    truth: Tensor

    def __post_init__(self) -> None:
        if self.truth.ndim != 4 or self.truth.shape[1] != 1 or not len(self.truth):
            raise InputError(
                f"{self.name}: the truth must be (count, 1, height, width), at least one, not "
                f"{tuple(self.truth.shape)}."
            )
        check_measurements(self.measurements, self.operator, self.truth)

    def to(self, device: torch.device) -> InverseProblem:
        """The same with its tensors there; the operator must live there already."""
        return InverseProblem(
            name=self.name,
            operator=self.operator,
            measurements=self.measurements.to(device),
            truth=self.truth.to(device),
        )


def check_measurements(
    measurements: Tensor, operator: LinearMap, images: Tensor | None = None
) -> Tensor:
    """The back-projection, whose shape is that of the images.

    Raises:
        InputError: When the operator cannot take the measurements, or they are not finite.
    """
    if not bool(torch.isfinite(torch.view_as_real(measurements) if measurements.is_complex()
                               else measurements).all()):  # fmt: skip
        raise InputError("The measurements hold NaN or infinite values: nothing can be recovered.")
    try:
        back = operator.adjoint(measurements)
    except RuntimeError as error:
        raise InputError(
            f"The operator cannot take measurements {tuple(measurements.shape)}: {error}"
        ) from error
    if images is not None and back.shape != images.shape:
        raise InputError(
            f"The measurements are of images {tuple(back.shape)}, the truth is "
            f"{tuple(images.shape)}."
        )
    return back


class Strengths(nn.Module):
    """The numbers that were tuned, by problem; part of the weights, so that they are kept.

    Args:
        problems: Their names.
        initial: The values before tuning, by name of the number.
    """

    values: Tensor

    def __init__(self, problems: Sequence[str], initial: dict[str, float]) -> None:
        super().__init__()
        if len(set(problems)) < len(problems):
            raise InputError(f"Two problems have one name: {sorted(problems)}.")
        self.problems, self.names = tuple(problems), tuple(initial)
        rows = [list(initial.values())] * max(len(problems), 1)
        self.register_buffer("values", torch.tensor(rows))

    def of(self, problem: str) -> tuple[float, ...]:
        """The numbers for that problem."""
        if problem not in self.problems:
            raise InputError(
                f"Nothing was tuned for the problem '{problem}', but for "
                f"{', '.join(self.problems) or 'none'}."
            )
        return tuple(self.values[self.problems.index(problem)].tolist())

    def put(self, problem: str, values: Sequence[float]) -> None:
        """Keeps the numbers for that problem."""
        self.values[self.problems.index(problem)] = torch.tensor(values).to(self.values)

    def figures(self) -> dict[str, float]:
        """All of them, for a run's metrics."""
        return {
            f"{problem}_{name}": value
            for problem, row in zip(self.problems, self.values.tolist())
            for name, value in zip(self.names, row)
        }


class Reconstructor(Protocol):
    """What `fit` of a method of reconstruction leaves, a module."""

    strengths: Strengths

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
        """Images from measurements, with the strengths that were found for that problem."""


def tune(
    model: Reconstructor,
    problem: InverseProblem,
    run: Run,
    *,
    factors: Sequence[float],
    lower: Sequence[float] | None = None,
    upper: Sequence[float] | None = None,
) -> dict[str, float]:
    """Gives the model the strengths with the best mean PSNR on a problem whose truth is known.

    Every reconstruction starts from the back-projection. Trap: started from the last one, a
    strength so large that descent hardly moves would be scored by the one before it.

    Args:
        model: Its strengths for that problem are where the search begins.
        problem: Up to ten images are enough.
        run: Its device; the section `tuning_<problem>`.
        factors: See `coarse_to_fine`.
        lower: See `coarse_to_fine`.
        upper: See `coarse_to_fine`.

    Returns:
        `<problem>_validation_psnr`, in dB.
    """
    name, problem = problem.name, problem.to(run.device)

    def score(strengths: tuple[float, ...]) -> float:
        model.strengths.put(name, strengths)
        with run.section(f"tuning_{name}"):
            images, _ = model.reconstruct(
                problem.measurements, problem.operator, problem=name, tolerance=3e-4, max_steps=300
            )
        return psnr(images, problem.truth).mean().item()

    start = model.strengths.of(name)
    best, reached = coarse_to_fine(
        score, start, factors=factors, stop=1.2, lower=lower, upper=upper
    )
    model.strengths.put(name, best)
    return {f"{name}_validation_psnr": reached}
