"""A step of GFKD's inversion: all graphs in one sparse forward, beside one graph at a time.

    python benchmarks/gfkd_batch.py --json gfkd_batch.json

131 graphs of 10 to 29 nodes at the density they start with, features of 7 kinds, a teacher
gcn-5-64 or gin-5-64 with random weights. A step is what the method does: one forward and backward
pass for the features, two forward passes for the structure. One at a time, each graph takes its
step by itself: same teacher, same code, same number of graphs; without the statistics of all nodes
together, which no single graph has. Needs PyTorch Geometric: pip install "bequest[graphs]".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from measure import (
    arguments,
    default_device,
    environment,
    interleaved,
    named,
    rows_of,
    show,
    verdict,
    write,
)
from rich.console import Console
from torch import nn

from bequest.methods.base import change
from bequest.methods.graphs.gfkd import GFKD
from bequest.nn.graph_networks import build_graph_network
from bequest.nn.inspection import batch_norm_layers
from bequest.nn.modes import frozen
from bequest.run import Run

TARGET = 5.0
SINGLE = "one graph at a time"
BATCHED = "all graphs in one forward"
STATISTICS = "the same, with statistics"
FEATURES, CLASSES = 7, 2


def random_graph_teacher(name: str) -> nn.Module:
    """Random weights; running statistics that are not those of the layers' start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher = build_graph_network(name, num_features=FEATURES, num_classes=CLASSES)
        for layer in batch_norm_layers(teacher).values():
            layer.running_mean.normal_(0, 0.3)  # type: ignore[operator, union-attr]
            layer.running_var.uniform_(0.5, 2)  # type: ignore[operator, union-attr]
    return teacher.eval()


def benchmark(*, network: str = "gcn-5-64", graphs: int = 131, repeats: int = 5) -> dict[str, Any]:
    """Times of one inversion step on all graphs."""
    device = default_device()
    teacher = random_graph_teacher(network).to(device)
    method = GFKD(num_graphs=graphs)
    apart = change(method, num_graphs=1, bn_weight=0.0)

    def steps(instance: GFKD, seeds: range) -> Callable[[], None]:
        sizes = {"num_features": FEATURES, "num_classes": CLASSES}
        options: dict[str, Any] = {"device": str(device), "precision": "fp32"}
        inverters = [
            instance.inverter(teacher, **sizes, run=Run(seed=seed, **options)) for seed in seeds
        ]

        def call() -> None:
            for inverter in inverters:
                inverter.step()

        return call

    with frozen(teacher):
        calls = {
            SINGLE: steps(apart, range(graphs)),
            BATCHED: steps(change(method, bn_weight=0.0), range(1)),
            STATISTICS: steps(method, range(1)),
        }
        times = interleaved(calls, repeats=repeats, on_gpu=device.type == "cuda")
    return {"network": network, "graphs": graphs, "rows": rows_of(times, SINGLE)}


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--networks", nargs="+", default=["gcn-5-64", "gin-5-64"])
    parser.add_argument("--graphs", type=int, default=131)
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(default_device()), "networks": []}
    for network in options.networks:
        result = benchmark(network=network, graphs=options.graphs, repeats=options.repeats)
        report["networks"].append(result)
        show(console, f"{network}, {options.graphs} graphs, one step", result["rows"])
        console.print(verdict(network, named(result, BATCHED)["speedup"], TARGET) + "\n")
    write(options.json, report)


if __name__ == "__main__":
    main()
