"""What it costs to start: importing Bequest, and each command that should answer at once.

    python benchmarks/import_cost.py --json import_cost.json

Each row is a fresh process, with Bequest's byte code already compiled; rows are interleaved in
shuffled order, and times are CPU seconds (user and system) of the process and its children:
median and range. The goals: `import bequest` at most 0.2 s above `import torch`; what needs no
torch under 0.5 s.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

BEQUEST = ("-m", "bequest")
ROWS: dict[str, tuple[str, ...]] = {
    "python -c pass": ("-c", "pass"),
    "import numpy": ("-c", "import numpy"),
    "import torch": ("-c", "import torch"),
    "import bequest": ("-c", "import bequest"),
    "from bequest import distill": ("-c", "from bequest import distill"),
    "bequest --help": (*BEQUEST, "--help"),
    "bequest list": (*BEQUEST, "list"),
    "bequest show ssd-kd": (*BEQUEST, "show", "ssd-kd"),
    "bequest run ssd-kd --help": (*BEQUEST, "run", "ssd-kd", "--help"),
    "bequest claim --help": (*BEQUEST, "claim", "--help"),
    "bequest distill --help": (*BEQUEST, "distill", "--help"),
    "bequest report --help": (*BEQUEST, "report", "--help"),
    "bequest resume --help": (*BEQUEST, "resume", "--help"),
    "bequest export --help": (*BEQUEST, "export", "--help"),
    "bequest data list": (*BEQUEST, "data", "list"),
}


@dataclass(frozen=True)
class Cost:
    """CPU and wall-clock seconds of one row over all repeats."""

    name: str
    cpu: tuple[float, ...]
    wall: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the CPU seconds."""
        return statistics.median(self.cpu)


def measure(arguments: tuple[str, ...]) -> tuple[float, float]:
    """CPU and wall-clock seconds of one process; its output is thrown away."""
    began, before = time.perf_counter(), os.times()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    cpu = after.children_user + after.children_system
    return cpu - before.children_user - before.children_system, wall


def measure_all(repeats: int) -> list[Cost]:
    """All rows, interleaved in an order that is drawn anew for each repeat."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ROWS}
    for name in ROWS:
        measure(ROWS[name])  # compiles byte code and warms the file cache
    order = random.Random(0)
    for _ in range(repeats):
        for name in order.sample(list(ROWS), len(ROWS)):
            figures[name].append(measure(ROWS[name]))
    return [
        Cost(name, tuple(cpu for cpu, _ in pairs), tuple(wall for _, wall in pairs))
        for name, pairs in figures.items()
    ]


def show(costs: list[Cost]) -> None:
    """The table."""
    torch = next(cost.median for cost in costs if cost.name == "import torch")
    table = Table("process", "CPU s", "lowest", "highest", "wall s", "above import torch")
    table.columns[0].no_wrap = True
    for cost in costs:
        table.add_row(
            cost.name,
            f"{cost.median:.2f}",
            f"{min(cost.cpu):.2f}",
            f"{max(cost.cpu):.2f}",
            f"{statistics.median(cost.wall):.2f}",
            f"{cost.median - torch:+.2f}",
        )
    Console().print(table)


def main() -> None:
    """Measures, prints the table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    costs = measure_all(options.repeats)
    show(costs)
    if options.json:
        record = {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "versions": {name: metadata.version(name) for name in ("bequest", "torch", "tyro")},
            "rows": [{**asdict(cost), "cpu_median": cost.median} for cost in costs],
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
