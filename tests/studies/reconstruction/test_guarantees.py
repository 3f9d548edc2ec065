"""The measures of what is promised, on maps whose figures are known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bequest.ops.linear_maps import identity
from bequest.run import Run
from bequest.studies.reconstruction.guarantees import expansion, guarantees
from bequest.studies.reconstruction.setting import SETTINGS, measured
from bequest.synthesis.inverse_problem import InverseProblem


def test_the_growth_of_a_linear_map_is_its_largest_factor() -> None:
    factors = torch.linspace(0.1, 2.0, 64).view(1, 1, 8, 8)
    rng = torch.Generator().manual_seed(0)
    found = expansion(lambda y: factors * y, torch.rand(1, 1, 8, 8), rng, steps=60)
    assert found <= 2.0 + 1e-5
    assert found == pytest.approx(2.0, rel=0.02)


def test_a_model_that_remembers_its_start_is_found_out() -> None:
    truth = torch.rand(2, 1, 8, 8)
    problem = InverseProblem(name="denoising", operator=identity(), measurements=truth, truth=truth)

    def remembers(y, operator, *, problem, start=None, **options):
        return (y if start is None else (y + start) / 2), None

    def forgets(y, operator, *, problem, start=None, **options):
        return y / 2, None

    figures = {}
    for model in (remembers, forgets):
        with Run(seed=0, device="cpu", precision="fp32") as run:
            figures[model], costs = guarantees(SimpleNamespace(reconstruct=model), problem, run)
        assert len(costs) == 0
    assert figures[remembers]["start_agreement"] < 30
    assert figures[forgets]["start_agreement"] == 120
    assert figures[forgets]["contraction"] == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["denoising", "mri", "ct"])
def test_measurements_depend_on_the_seed_alone(name: str) -> None:
    pixels = torch.randint(256, (2, 1, 32, 32), dtype=torch.uint8)
    made = []
    for seed in (0, 0, 1):
        with Run(seed=seed, device="cpu", precision="fp32") as run:
            run.rng.manual_seed(seed + len(made))  # whatever an arm has drawn before
            made.append(measured(name, pixels, SETTINGS["smoke"], run).measurements)
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
