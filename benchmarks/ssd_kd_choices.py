"""The choices that SSD-KD's paper leaves open, tried one by one and judged without real data.

Each option changes one field of the study's SSD-KD arm and gets the same teacher, initial student
and budget per seed. A student is judged by its agreement with the teacher on the held-back
synthetic images of *all* options of its seed: no option is judged by its own images alone. Test
accuracy stands beside it in the table, to see what the rule is worth; it decides nothing.

    python benchmarks/ssd_kd_choices.py --seeds 3 --json choices.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bequest.losses.distillation import agreement
from bequest.memory.pool import ImagePool
from bequest.methods.base import change
from bequest.methods.data_free import ssd_kd
from bequest.run import Run
from bequest.studies.data_free.setting import budget, execute
from bequest.studies.data_free.ssd_kd import arms
from bequest.synthesis.observer import predict

OPTIONS: dict[str, dict[str, Any]] = {
    "as it stands": {},
    "gamma 1": {"gamma": 1.0},
    "gamma 0.5": {"gamma": 0.5},
    "normalised modulation": {"normalize_modulation": True},
    "beta 0": {"beta": 0.0},
    "beta 1": {"beta": 1.0},
    "weights / mean": {"weight_scale": "mean"},
    "weights / max": {"weight_scale": "max"},
    "alpha 0.6": {"alpha": 0.6},
}


@dataclass(kw_only=True)
class Outcome:
    """One run: its student's answers are compared on everybody's held-back images."""

    run: Run
    student: torch.nn.Module
    images: Tensor
    logits: Tensor
    accuracy: float
    agreements: list[float] = field(default_factory=list)


def run_option(changes: dict[str, Any], size: str, seed: int) -> Outcome:
    """One run of SSD-KD, and what its pool held back."""
    pools: list[ImagePool] = []

    def remembered(capacity: int) -> ImagePool:
        pools.append(ImagePool(capacity))
        return pools[-1]

    method = change(arms(size)["ssd-kd"], **changes)
    with mock.patch.object(ssd_kd, "ImagePool", remembered):
        run = Run(None, seed=seed, budget=budget(size))
        with run:
            result = execute(method, size, run)
    held_back = pools[0].held_back
    return Outcome(
        run=run,
        student=result.model,
        images=held_back["images"],
        logits=held_back["logits"],
        accuracy=result.metrics["accuracy"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=100, help="not those of the claims")
    parser.add_argument("--size", default="default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()

    judged: dict[str, list[float]] = {name: [] for name in OPTIONS}
    accuracy: dict[str, list[float]] = {name: [] for name in OPTIONS}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        outcomes = {}
        for name, changes in OPTIONS.items():
            outcomes[name] = run_option(changes, options.size, seed)
            console.print(f"seed {seed}, {name}: accuracy {outcomes[name].accuracy:.1f}")
        for name, ours in outcomes.items():
            shares = [
                100 * agreement(predict(ours.student, o.images, ours.run), o.logits).item()
                for o in outcomes.values()
            ]
            judged[name].append(statistics.mean(shares))
            accuracy[name].append(ours.accuracy)

    table = Table("option", "agreement, %", "paired difference", "test accuracy, %")
    for name in OPTIONS:
        difference = [a - b for a, b in zip(judged[name], judged["as it stands"])]
        table.add_row(
            name,
            " ".join(f"{value:.2f}" for value in judged[name]),
            f"{statistics.mean(difference):+.2f}",
            " ".join(f"{value:.1f}" for value in accuracy[name]),
        )
    console.print(table)
    if options.json:
        text = json.dumps({"agreement": judged, "accuracy": accuracy}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
