"""The benchmark of knowledge graphs runs at toy size; no time is asserted."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

from bequest.data.knowledge import load_knowledge_graph


def test_rows_are_finite_and_rank_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    module = importlib.import_module("knowledge_graphs")
    graph = load_knowledge_graph("families")
    sizes = {"negatives": 4, "batch": 200}
    rows = module.training(graph, dim=8, epochs=1, repeats=2, pykeen=False, **sizes)
    assert [row["name"] for row in rows] == [module.BARE, module.OURS]
    ranked = module.evaluation(graph, dim=8, epochs=1, repeats=1, pykeen=False)
    assert all(math.isfinite(row["speedup"]) and row["speedup"] > 0 for row in [*rows, *ranked])
    assert ranked[0]["mrr"] == pytest.approx(ranked[1]["mrr"], abs=1e-6)
