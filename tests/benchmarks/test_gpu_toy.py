"""The GPU benchmark, whole, at its toy size on the CPU."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("gpu")


def test_every_method_gets_a_row_whose_split_adds_up(gpu, tmp_path, capsys):
    gpu.main(["--toy", "--json", str(tmp_path / "gpu.json")])

    report = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["method"] for row in report["rows"]] == ["ssd-kd", "fast", "cmi"]
    for row in report["rows"]:
        assert row["teacher_accuracy"] > 80
        assert row["accuracy"] > 5
        assert row["steps"] == gpu.TOY.steps
        assert sum(row["seconds"].values()) == pytest.approx(row["total"])
        assert all(seconds > 0 for seconds in row["seconds"].values())
        seconds = [at for at, _ in row["curve"]]
        # The teacher counts from the first point on, and the last point is the last student.
        assert seconds == sorted(seconds)
        assert seconds[0] > row["seconds"]["teacher"]
        assert seconds[-1] <= row["total"]
        assert row["curve"][-1][1] == row["accuracy"]
    table = capsys.readouterr().out
    assert "ssd-kd" in table
    assert "cmi" in table


@pytest.mark.parametrize(("fraction", "factor"), [(0.0, 0.05), (0.2, 1.0), (0.6, 0.505), (1, 0.01)])
def test_the_learning_rate_is_a_triangle(gpu, fraction, factor):
    assert gpu.triangle(fraction, 0.2) == pytest.approx(factor)


def test_the_goal_counts_only_within_ten_minutes(gpu):
    def row(accuracy, seconds):
        return gpu.Row(
            pair="resnet34-resnet18",
            method="ssd-kd",
            teacher_accuracy=95.0,
            accuracy=accuracy,
            seconds={"teacher": 60.0, "distillation": seconds - 60.0},
            steps=1,
            petaflop=1.0,
            peak_memory_bytes=0,
            curve=[],
        )

    assert "NOT reached" in gpu.verdict([row(94.5, 601.0)])
    assert "NOT reached" in gpu.verdict([row(93.9, 500.0), row(95.0, 601.0)])
    assert ": reached" in gpu.verdict([row(94.0, 600.0)])
    assert gpu.verdict([]) is None
