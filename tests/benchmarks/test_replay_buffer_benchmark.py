"""The benchmark of the reservoir runs at toy size; both runs end alike; no time is asserted."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def test_replay_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("replay_buffer")
    measured = module.buffers(capacity=12, block=5, batch=4, side=8, repeats=1)
    run = module.whole_run(images_each=8, side=8, epochs=1, batch=8, network="convnet4", repeats=1)
    tables = [table["rows"] for table in measured["tables"].values()]
    for row in (*tables[0], *tables[1], *run["rows"]):
        assert math.isfinite(row["speedup"])
    assert run["steps"] == 10
    assert run["largest_difference"] < 1e-3
