"""The benchmark of objectives runs and tells what it counted."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("objectives")


SIZES = {"teacher": "resnet8", "student": "resnet8", "batch": 8, "repeats": 1}


def test_steps(module: ModuleType) -> None:
    result = module.benchmark(**SIZES, objectives=("kd", "vid"))
    rows = {row["name"]: row for row in result["rows"]}
    assert {module.BARE, "kd", "vid"} <= set(rows)
    assert rows["vid"]["parts_ms"] > rows[module.BARE]["median_ms"]
    assert all(rows[id]["ratio"] > 0 for id in ("kd", "vid"))
    assert all(row["median_ms"] > 0 for row in rows.values())


def test_epochs(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNT", 24)
    rows = module.epochs(**SIZES)["rows"]
    assert [row["name"] for row in rows] == [module.ANEW, module.FIRST, module.LATER]
