"""Every benchmark runs at toy size and gives finite, positive figures; no time is asserted."""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a benchmark, which finds its neighbours as it does when it is run."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def check(rows: list[dict[str, Any]], *, key: str = "speedup") -> None:
    assert rows
    for row in rows:
        assert math.isfinite(row[key]), row
        assert row[key] > 0, row


def test_ratios_are_of_medians_to_the_reference(load: Callable[[str], ModuleType]) -> None:
    times = {"slow": {"cpu": [6.0, 4.0, 90.0]}, "fast": {"cpu": [2.0, 1.0, 3.0]}}
    rows = load("measure").rows_of(times, "slow")
    assert [row["median_ms"] for row in rows] == [6.0, 2.0]
    assert [row["speedup"] for row in rows] == [1.0, 3.0]


def test_every_round_measures_every_row(load: Callable[[str], ModuleType]) -> None:
    seen: list[str] = []
    calls = {name: (lambda name=name: seen.append(name)) for name in "abc"}
    times = load("measure").interleaved(calls, repeats=4, inner=2, warmup=1)
    assert seen[:3] == ["a", "b", "c"]
    rounds = [seen[3 + 6 * number : 9 + 6 * number] for number in range(4)]
    assert [sorted(names) for names in rounds] == [list("aabbcc")] * 4
    assert len({tuple(names) for names in rounds}) > 1  # not always in one order
    assert {len(values) for row in times.values() for values in row.values()} == {4}


def test_inversion_step(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("inversion_step")
    rows = [module.PUBLIC, module.EXACT, module.DEFAULT, module.VARIANTS[-1]]
    monkeypatch.setattr(module, "VARIANTS", rows)
    result = module.benchmark(torch.device("cpu"), "resnet8", 4, repeats=1)
    check(result["rows"])
    assert [row["name"] for row in result["rows"]] == [variant.name for variant in rows]


def test_distillation_step(load: Callable[[str], ModuleType]) -> None:
    module = load("distillation_step")
    result = module.benchmark(teacher="resnet8", batch=8, stored=32, repeats=2, inner=1)
    check(result["rows"])
    # All but stored logits have the same target: they must arrive at the same loss.
    losses = [row["loss"] for row in result["rows"] if row["name"] != module.STORED]
    assert losses == pytest.approx([statistics.median(losses)] * len(losses), rel=0.25)
    assert max(losses) < result["loss_at_start"]


def test_pool(load: Callable[[str], ModuleType]) -> None:
    result = load("pool").benchmark(batch=16, size=8, stored=32, repeats=2)
    for table in result["tables"].values():
        check(table["rows"])


def test_files_hold_what_was_written(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    images = torch.randint(256, (3, 3, 4, 4)) / 255
    files = load("pool").Files(tmp_path, padding=0)
    files.write(images)
    for image in files.read(8):
        both = torch.cat([images, images.flip(3)])
        assert (both - image).abs().amax((1, 2, 3)).min() < 1 / 255 + 1e-6


@pytest.mark.parametrize("network", ["nothing", "mlp"])
def test_loop_overhead(load: Callable[[str], ModuleType], network: str) -> None:
    result = load("loop_overhead").benchmark(network, batch=2, count=40, repeats=2)
    check(result["rows"])
    check(result["rows"], key="ratio")


def test_buffer_draws(load: Callable[[str], ModuleType]) -> None:
    result = load("buffer_draws").benchmark(counts=(50, 100), batch=8, side=4, repeats=2, inner=2)
    check(result["rows"], key="growth")


def test_peak_memory(load: Callable[[str], ModuleType]) -> None:
    sizes = {"teacher": "resnet8", "student": "resnet8", "buffer": 16, "batch": 16, "images": 8}
    result = load("peak_memory").distill(precision="fp32", **sizes)
    assert result["peak_bytes"] >= result["before_bytes"] > 0


def test_kd3_selection(load: Callable[[str], ModuleType]) -> None:
    result = load("kd3_selection").benchmark(
        teacher="resnet8", student="resnet8", images=16, repeats=1
    )
    check(result["rows"])
    check([result], key="ratio")


def test_healing(load: Callable[[str], ModuleType]) -> None:
    pytest.importorskip("torch_pruning", reason="torch-pruning is in bequest[compress]")
    module = load("healing")
    method = module.DFBF(batches=1, synthesis_batch=4, batch_size=4, inversion_steps=3, epochs=2)
    method = module.change(method, rule="uniform", min_channels=2)
    device = torch.device("cpu")
    result = module.benchmark(device, "resnet8", method, repeats=1, training_batch=4)
    check(result["rows"])
    assert [row["count"] for row in result["rows"]] == [64_000, 3, 1, 2]
    assert 0 < result["share"] < 0.1
