"""What a convex regularizer promises, measured on any model: no expansion, no memory of the start.

A lower bound on the Lipschitz constant of the map from measurements to images is found by following
the direction that grows most; the other figure compares the outcomes of two different starts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bequest.methods.reconstruction.convex_ridge import ConvexRidgeReconstructor
from bequest.metrics.images import psnr
from bequest.run import Run
from bequest.synthesis.inverse_problem import InverseProblem

_TIGHT: dict[str, Any] = {"tolerance": 1e-5, "max_steps": 300}


def guarantees(model: Any, problem: InverseProblem, run: Run) -> tuple[dict[str, float], Tensor]:
    """Figures of the first image of a problem, and the course of the cost.

    Args:
        model: A `Reconstructor`.
        problem: What it was tuned for.
        run: Lends its device and seed.

    Returns:
        - `expansion`, for denoising: the largest `|| f(y + d) - f(y) || / || d ||` that was found;
          1 at most for a non-expansive map. `contraction` is 1 less that: larger is better.
        - `start_agreement`: PSNR between what two starts lead to, in dB; 120 at most.
        - `rises` and `descent_steps`, for models with a cost: how often the cost rose (never), in
          how many steps.
        And the cost by step, `(steps,)`, empty for models without one.
    """
    measurements = problem.measurements[:1]
    rng = torch.Generator(run.device).manual_seed(run.seed)

    def recover(y: Tensor, start: Tensor | None = None) -> Tensor:
        options = {"problem": problem.name, "start": start, **_TIGHT}
        images: Tensor = model.reconstruct(y, problem.operator, **options)[0]
        return images

    figures: dict[str, float] = {}
    if problem.name == "denoising":
        growth = expansion(recover, measurements, rng)
        figures |= {"expansion": growth, "contraction": 1 - growth}
    start = torch.rand(problem.truth[:1].shape, generator=rng, device=run.device)
    apart = psnr(recover(measurements, torch.zeros_like(start)), recover(measurements, start))
    figures["start_agreement"] = min(apart.item(), 120.0)
    costs = start.new_zeros(0)
    if isinstance(model, ConvexRidgeReconstructor):
        options = {"problem": problem.name, "start": start, "monotone": True, **_TIGHT}
        _, course = model.reconstruct(measurements, problem.operator, **options)
        costs = course.costs[:, 0]
        figures["rises"] = float((costs.diff() > 0).sum())
        figures["descent_steps"] = float(course.steps)
    return figures, costs


def expansion(
    recover: Any, measurements: Tensor, rng: torch.Generator, *, size: float = 0.1, steps: int = 4
) -> float:
    """A lower bound on the Lipschitz constant of `recover` around `measurements`, real images.

    Args:
        recover: Images to images.
        measurements: `(1, 1, height, width)`.
        rng: Draws the first direction.
        size: Of the disturbance, as a share of the measurements' norm.
        steps: How often the answer to a disturbance becomes the next one.
    """
    before = recover(measurements)
    length = size * measurements.norm()
    direction = torch.randn(measurements.shape, generator=rng, device=measurements.device)
    largest = 0.0
    for _ in range(steps):
        direction = direction * length / direction.norm().clamp(min=1e-30)
        answer = recover(measurements + direction) - before
        largest = max(largest, (answer.norm() / length).item())
        direction = answer
    return largest
