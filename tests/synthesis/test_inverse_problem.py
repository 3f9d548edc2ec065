"""Problems are checked; strengths are found, kept and restored."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.ops.linear_maps import identity, parallel_beam
from bequest.run import Run
from bequest.synthesis.inverse_problem import InverseProblem, Strengths, check_measurements, tune


def problem(truth: torch.Tensor) -> InverseProblem:
    return InverseProblem(
        name="denoising", operator=identity(), measurements=truth * 2, truth=truth
    )


class Multiplied(nn.Module):
    """Recovers by multiplying; remembers where it was told to start."""

    def __init__(self) -> None:
        super().__init__()
        self.strengths = Strengths(["denoising"], {"strength": 2.0})
        self.starts: list[torch.Tensor | None] = []

    def reconstruct(self, measurements, operator, *, problem, start=None, tolerance, max_steps):
        self.starts.append(start)
        return self.strengths.of(problem)[0] * measurements, None


def test_the_best_strength_is_found_each_time_from_the_measurements_alone() -> None:
    truth, model = torch.rand(2, 1, 4, 4), Multiplied()
    with Run(seed=0) as run:
        figures = tune(model, problem(truth), run, factors=(4.0,))
    assert model.strengths.of("denoising") == pytest.approx((0.5,))
    assert figures["denoising_validation_psnr"] > 60
    assert model.starts == [None] * len(model.starts)


def test_strengths_are_part_of_the_weights() -> None:
    kept = Strengths(["mri", "ct"], {"strength": 1.0, "scale": 2.0})
    kept.put("ct", (3.0, 4.0))
    again = Strengths(["mri", "ct"], {"strength": 0.0, "scale": 0.0})
    again.load_state_dict(kept.state_dict())
    assert again.of("ct") == (3.0, 4.0)
    assert again.figures() == {
        "mri_strength": 1.0, "mri_scale": 2.0, "ct_strength": 3.0, "ct_scale": 4.0,
    }  # fmt: skip
    with pytest.raises(InputError, match="Nothing was tuned for the problem 'pet'"):
        kept.of("pet")
    with pytest.raises(InputError, match="one name"):
        Strengths(["mri", "mri"], {"strength": 1.0})


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="truth must be"):
        problem(torch.rand(2, 3, 4, 4))
    with pytest.raises(InputError, match="NaN or infinite"):
        check_measurements(torch.full((1, 1, 4, 4), torch.nan), identity())
    with pytest.raises(InputError, match="NaN or infinite"):
        check_measurements(torch.full((1, 1, 4, 4), torch.inf, dtype=torch.complex64), identity())
    with pytest.raises(InputError, match="cannot take measurements"):
        check_measurements(torch.rand(1, 5, 3), parallel_beam(8, angles=4))
    with pytest.raises(InputError, match="of images"):
        check_measurements(torch.rand(1, 1, 4, 4), identity(), torch.rand(1, 1, 5, 5))
