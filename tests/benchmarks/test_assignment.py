"""The benchmark of assignment runs at toy size; no time is asserted."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("assignment")


def test_exact_solvers_have_no_gap(module):
    (table,) = module.by_size([(3, 6)], solver=None, repeats=2, threads=1)
    rows = {row["name"]: row for row in table["rows"]}
    assert rows[module.SCIPY]["gap"] == pytest.approx(0, abs=1e-6)
    assert rows[module.GREEDY]["gap"] >= 0
    assert rows[module.LEARNED]["gap"] is None
    assert all(row["feasible"] == 100 for row in rows.values())
    assert all(math.isfinite(row["speedup"]) and row["speedup"] > 0 for row in rows.values())


def test_every_sinkhorn_gives_the_same(module):
    (table,) = module.sinkhorns([(3, 5)], repeats=2, inner=1)
    assert len(table["rows"]) >= 3
    assert not any(row["void"] for row in table["rows"])
