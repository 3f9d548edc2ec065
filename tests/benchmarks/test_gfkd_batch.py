"""The benchmark of batched graphs runs at toy size; no time is asserted."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

pytest.importorskip("torch_geometric", reason="needs the extra graphs")


def test_gfkd_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    module = importlib.import_module("gfkd_batch")
    result = module.benchmark(network="gin-3-4", graphs=4, repeats=2)
    assert [row["name"] for row in result["rows"]] == [
        module.SINGLE,
        module.BATCHED,
        module.STATISTICS,
    ]
    assert all(math.isfinite(row["speedup"]) and row["speedup"] > 0 for row in result["rows"])
