"""Draws from a memory of a thousand to a million samples: does their cost grow with it?

    python benchmarks/buffer_draws.py --json buffer_draws.json

`draw and update` is `PrioritySampler`, a batch of 256; beside it the plain way: the power of all
priorities, their sum, and `torch.multinomial` over all of them. `take` gathers the images
themselves. `enter` happens once a round, not once a step: it looks for the largest priority.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from measure import arguments, default_device, environment, interleaved, rows_of, write
from rich.console import Console
from rich.table import Table

from bequest.memory.priority import PrioritySampler
from bequest.memory.replay import ReplayBuffer

PLAIN = "all priorities, multinomial"
OURS = "draw and update"
TAKE = "take"
ENTER = "enter"
COUNTS = (1000, 5000, 100_000, 1_000_000)
FLAT = 2.0


def filled_buffer(count: int, *, side: int, device: torch.device) -> ReplayBuffer:
    """`count` random images, written in blocks."""
    buffer = ReplayBuffer(count)
    for first in range(0, count, 10_000):
        shape = (min(10_000, count - first), 3, side, side)
        buffer.add(images=torch.randint(256, shape, dtype=torch.uint8, device=device))
    return buffer


def calls(
    count: int, *, batch: int, alpha: float, side: int, device: torch.device
) -> dict[str, Callable[[], Any]]:
    """What is measured at one size."""
    rng = torch.Generator(device).manual_seed(0)
    sampler = PrioritySampler(count, alpha=alpha, device=device)
    everything = torch.arange(count, device=device)
    sampler.enter(everything)
    sampler.update(everything, torch.rand(count, generator=rng, device=device))
    plain = sampler.priorities.clone()
    buffer = filled_buffer(count, side=side, device=device)

    def draw_plain() -> None:
        mass = (plain.abs() + sampler.eps) ** alpha
        probabilities = mass / mass.sum()
        places = torch.multinomial(probabilities, batch, replacement=True, generator=rng)
        plain[places] = (count * probabilities[places]) ** -sampler.beta

    def draw_ours() -> None:
        places, weights = sampler.draw(batch, rng)
        sampler.update(places, weights)

    def take() -> None:
        buffer.take(torch.randint(count, (batch,), generator=rng, device=device))

    newcomers = torch.arange(batch, device=device)
    return {
        PLAIN: draw_plain,
        OURS: draw_ours,
        TAKE: take,
        ENTER: lambda: sampler.enter(newcomers),
    }


def benchmark(
    *,
    counts: tuple[int, ...] = COUNTS,
    batch: int = 256,
    alpha: float = 1.0,
    side: int = 32,
    repeats: int = 9,
    inner: int = 20,
) -> dict[str, Any]:
    """Times at all sizes, interleaved; `growth` is of each row from the smallest to the largest."""
    device = default_device()
    all_calls = {
        f"{name} {count}": call
        for count in counts
        for name, call in calls(count, batch=batch, alpha=alpha, side=side, device=device).items()
    }
    on_gpu = device.type == "cuda"
    times = interleaved(all_calls, repeats=repeats, inner=inner, warmup=5, on_gpu=on_gpu)
    medians = {row["name"]: row for row in rows_of(times, next(iter(times)))}
    rows = []
    for name in (PLAIN, OURS, TAKE, ENTER):
        found = {str(count): medians[f"{name} {count}"] for count in counts}
        values = [row["median_ms"] for row in found.values()]
        rows.append(
            {
                "name": name,
                "median_ms": dict(zip(found, values)),
                "growth": values[-1] / values[0],
                "times": {count: row["times"] for count, row in found.items()},
            }
        )
    setting = {"batch": batch, "alpha": alpha, "image": [3, side, side], "counts": list(counts)}
    return setting | {"rows": rows}


def main() -> None:
    parser = arguments(__doc__, repeats=9)
    parser.add_argument("--side", type=int, default=32, help="pixels a side")
    parser.add_argument("--alphas", type=float, nargs="+", default=[1.0, 0.6])
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(default_device()), "sizes": []}
    for alpha in options.alphas:
        result = benchmark(alpha=alpha, side=options.side, repeats=options.repeats)
        report["sizes"].append(result)
        table = Table(title=f"batch {result['batch']}, alpha {alpha:g}: milliseconds, median")
        for column in ("row", *(f"{count:,}" for count in COUNTS), "growth"):
            table.add_column(column, justify="left" if column == "row" else "right")
        for row in result["rows"]:
            values = [f"{value:.3f}" for value in row["median_ms"].values()]
            table.add_row(row["name"], *values, f"{row['growth']:.1f}")
        console.print(table)
        grown = next(row["growth"] for row in result["rows"] if row["name"] == OURS)
        flat = "flat" if grown <= FLAT else "NOT flat"
        console.print(f"{OURS}: {grown:.2f} times from {COUNTS[0]:,} to {COUNTS[-1]:,}, {flat}.\n")
    write(options.json, report)


if __name__ == "__main__":
    main()
