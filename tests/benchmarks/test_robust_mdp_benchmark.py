"""The benchmark of robust Q-learning runs at toy size; its loops learn what ours does."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest
import torch

from bequest.data.decision import garnets
from bequest.ops.robust_bellman import Nature, robust_values

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("robust_mdp")


def test_every_way_has_a_time(module):
    rows = module.benchmark(sizes=(1, 2), repeats=1, least=200)["rows"]
    assert len(rows) >= 14
    assert all(math.isfinite(row["speedup"]) and row["per_second"] > 0 for row in rows)


def test_what_is_stored(module):
    few, many = module.memory((4, 8))
    assert (few["generative"], few["trajectory"]) == (40, 60)
    assert many["generative"] == 2 * few["generative"]
    assert many["estimated kernel"] == 8 * 5 + 8 * 8 * 5


@pytest.mark.parametrize("robust", [False, True])
def test_the_loops_are_right(module, robust):
    model = garnets(1, states=20, actions=5, branching=3)
    loop = module.PlainLoop(model, robust=robust)
    loop.run(250_000)
    nature = Nature(uncertainty="chi2" if robust else "none", penalty=module.PENALTY)
    values = robust_values(model, nature, module.DISCOUNT, tolerance=1e-4)[0]
    learnt = torch.tensor(loop.q, dtype=torch.float64).amax(-1)
    assert (learnt - values).abs().max() < 0.35
