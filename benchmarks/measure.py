"""What the benchmarks share: clocks, interleaving, a teacher, the record of the machine, tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from bequest.nn import zoo
from bequest.nn.inspection import batch_norm_layers

Times = dict[str, dict[str, list[float]]]
"""Milliseconds of each repeat, by row and clock."""


def timed(call: Callable[[], Any], *, on_gpu: bool = False) -> dict[str, float]:
    """Milliseconds of one call: ``cpu`` and ``wall``, or ``device`` on a GPU."""
    if not on_gpu:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return {"cpu": 1e3 * cpu, "wall": 1e3 * wall}
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return {"device": start.elapsed_time(end)}


def interleaved(
    calls: Mapping[str, Callable[[], Any]],
    *,
    repeats: int,
    inner: int = 1,
    warmup: int = 1,
    on_gpu: bool = False,
) -> Times:
    """The times of each call in `repeats` rounds, in an order drawn anew for each round.

    Args:
        calls: What to measure, by the name of its row.
        repeats: Rounds.
        inner: Calls between two readings of the clock; times are of one call.
        warmup: Calls before the first round.
        on_gpu: Whether to read the device's clock.
    """

    def several(call: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(inner):
                call()

        return run

    times: Times = {name: {} for name in calls}
    for call in calls.values():
        for _ in range(20 if on_gpu else warmup):
            call()
    order = random.Random(0)
    for _ in range(repeats):
        for name in order.sample(list(calls), len(calls)):
            for clock, value in timed(several(calls[name]), on_gpu=on_gpu).items():
                times[name].setdefault(clock, []).append(value / inner)
    return times


def rows_of(times: Times, reference: str) -> list[dict[str, Any]]:
    """Medians, and how many times faster than the row `reference` each row is."""
    clock = "device" if "device" in times[reference] else "cpu"
    medians = {name: statistics.median(clocks[clock]) for name, clocks in times.items()}
    return [
        {
            "name": name,
            "clock": clock,
            "median_ms": median,
            "speedup": medians[reference] / median,
            "times": times[name],
        }
        for name, median in medians.items()
    ]


def named(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The row of that name."""
    return next(row for row in result["rows"] if row["name"] == name)


def show(
    console: Console,
    title: str,
    rows: list[dict[str, Any]],
    *,
    more: Mapping[str, str] | None = None,
) -> None:
    """The table; `more` gives headings to further keys of the rows."""
    more = more or {}
    clock = rows[0]["clock"]
    table = Table(title=title)
    for column in ("row", f"{clock} ms", "min..max", "wall ms", "times faster", *more.values()):
        table.add_column(column, justify="left" if column == "row" else "right", no_wrap=True)
    for row in rows:
        times = row["times"]
        table.add_row(
            row["name"],
            f"{row['median_ms']:.4g}",
            f"{min(times[clock]):.4g}..{max(times[clock]):.4g}",
            f"{statistics.median(times['wall']):.4g}" if "wall" in times else "",
            f"{row['speedup']:.2f}",
            *(f"{row[key]:.4g}" if row.get(key) is not None else "" for key in more),
        )
    console.print(table)


def verdict(name: str, ratio: float, target: float) -> str:
    """One line on a target that a ratio should reach."""
    reached = "reached" if ratio >= target else "NOT reached"
    return f"{name}: {ratio:.2f} times, target {target:g} {reached}."


def random_teacher(network: str) -> nn.Module:
    """Random weights; running statistics of four batches of smooth random pictures."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        teacher = zoo.build(network, num_classes=10)
        for layer in batch_norm_layers(teacher).values():
            layer.momentum = None  # type: ignore[assignment]
        teacher.train()
        for _ in range(4):
            teacher(F.interpolate(torch.rand(64, 3, 5, 5), size=32, mode="bicubic"))
    return teacher.eval()


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine, threads and load, for the record."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "python": platform.python_version(),
        "bequest": metadata.version("bequest"),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processor": names[0] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "load": list(os.getloadavg()),
    }


def default_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arguments(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--json", type=Path, metavar="OUT")
    return parser


def write(path: Path | None, report: dict[str, Any]) -> None:
    """The report as JSON, with the load at the end; nothing where there is no path."""
    report["environment"]["load_after"] = list(os.getloadavg())
    if path:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
