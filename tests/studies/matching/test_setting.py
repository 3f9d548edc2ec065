"""The study on real tracks, end to end, with a network too small to be good."""

from __future__ import annotations

import math

import pytest

from bequest.methods.matching.fixed_solver import FixedSolver
from bequest.methods.matching.glan_lap import GLANLAP
from bequest.run import Run
from bequest.studies.matching.setting import execute

pytest.importorskip("motmetrics", reason="motmetrics is in bequest[matching]")


@pytest.mark.parametrize(
    "method",
    [
        GLANLAP(layers=1, epochs=1, batch_size=128, validations=1, objective="mota"),
        FixedSolver(epochs=1, batch_size=128),
    ],
)
def test_tracks_are_found_and_scored(method, tmp_path):
    with Run(tmp_path, seed=0, device="cpu", precision="fp32") as run:
        result = execute(method, "tud", run)
    names = {"accuracy", "mota", "idf1", "switches", "mota_stride_1", "idf1_stride_3"}
    assert names <= set(result.metrics)
    assert all(map(math.isfinite, result.metrics.values()))
    assert (tmp_path / "pictures" / "tracks.png").exists()
    assert result.model.cost_network is not None
