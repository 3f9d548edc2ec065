"""The benchmark of recommendation runs at toy size; both rankings agree; no time is asserted."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_recommendation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("recommendation")
    shape = (40, 300, 8.0)
    trained = module.training(shape=shape, steps=3, repeats=1, dim=8)
    ranked = module.evaluation(shape=shape, users=20, repeats=1, dim=8)
    for row in (*trained["rows"], *ranked["rows"]):
        assert math.isfinite(row["speedup"])
        assert row["speedup"] > 0
    # Few steps from the same start: all networks are near the uniform guess.
    assert all(abs(row["cross_entropy"] - math.log(300)) < 0.1 for row in trained["rows"])
