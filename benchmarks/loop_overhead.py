"""What `Run.steps` and `run.log` cost a step, over a bare PyTorch loop.

    python benchmarks/loop_overhead.py --json loop_overhead.json
    python benchmarks/loop_overhead.py --with-torchdistill

Every row trains the same network on the same batch: forward, cross-entropy, backward, SGD. The
`nothing` size has no network at all, so that its difference is the cost of the loop itself.
torchdistill's row is its own `TrainingBox`, called as its examples call it (`pre_forward_process`,
`forward_process`, `post_forward_process`) but fed from the same batch without a data loader; it
needs an environment with torchdistill and torchvision.

The first step of a run is counted operation by operation for its FLOPs, and a run with a folder
writes a checkpoint at its end: both stand under `once`, and not in the time of a step.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from random import Random
from typing import Any

import torch
from measure import Times, arguments, environment, named, rows_of, show, write
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.nn import zoo
from bequest.run import Run

BARE = "bare loop"
RUN = "Run, one quantity logged"
FOLDER = "Run with a folder, three logged"
TORCHDISTILL = "torchdistill TrainingBox"
LARGEST_RATIO, LARGEST_MICROSECONDS = 1.05, 20.0

Steps = Iterator[None]
"""Takes one training step a time."""


class Size:
    """A network and a batch; no network for the cost of the loop alone."""

    def __init__(self, name: str, *, batch: int) -> None:
        self.name, self.batch = name, batch
        rng = torch.Generator().manual_seed(0)
        wide = name == "mlp"
        shape = (batch, 64) if wide else (batch, 3, 32, 32)
        self.images = torch.rand(shape, generator=rng)
        self.labels = torch.randint(10, (batch,), generator=rng)

    def network(self) -> nn.Module | None:
        """The same weights each time."""
        if self.name == "nothing":
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if self.name == "mlp":
                return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
            return zoo.build(self.name, num_classes=10)

    def step(self) -> Callable[[], Tensor]:
        """One training step, which returns its loss."""
        network = self.network()
        if network is None:
            loss = torch.zeros(())
            return lambda: loss
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

        def step() -> Tensor:
            loss = F.cross_entropy(network(self.images), self.labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step


def bare(size: Size, count: int) -> Steps:
    step = size.step()
    for _ in range(count):
        step()
        yield


def with_run(size: Size, count: int) -> Steps:
    step = size.step()
    with Run(device="cpu", precision="fp32") as run:
        for _ in run.steps(count, state={}):
            run.log(loss=step())
            yield


def with_folder(size: Size, count: int) -> Steps:
    step = size.step()
    with (
        tempfile.TemporaryDirectory() as folder,
        Run(folder, device="cpu", precision="fp32") as run,
    ):
        for _ in run.steps(count, state={}):
            loss = step()
            run.log(loss=loss, again=loss, rate=0.1)
            yield


def with_torchdistill(size: Size, count: int) -> Steps:
    """A `TrainingBox` with the same loss and optimizer; no network is not possible there."""
    from torchdistill.core.training import TrainingBox  # type: ignore[import-not-found]

    output = {"is_from_teacher": False, "module_path": ".", "io": "output"}
    term = {
        "criterion": {"key": "CrossEntropyLoss", "kwargs": {}},
        "criterion_wrapper": {
            "key": "SimpleLossWrapper",
            "kwargs": {"input": output, "target": {"uses_label": True}},
        },
        "weight": 1.0,
    }
    configuration = {
        "num_epochs": 1,
        "model": {"forward_proc": "forward_batch_only"},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"ce": term}}},
        "optimizer": {"key": "SGD", "kwargs": {"lr": 1e-3, "momentum": 0.9}},
    }
    device = torch.device("cpu")
    box = TrainingBox(size.network(), {}, configuration, device, None, False, 1)
    for _ in range(count):
        box.pre_forward_process()
        loss = box.forward_process(size.images, size.labels, None)
        box.post_forward_process(loss)
        yield


def measure(steps: Steps, count: int) -> dict[str, float]:
    """Milliseconds of a step after the first ten, and of everything that happens once."""
    began = time.process_time()
    for _ in range(10):
        next(steps)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count - 10):
        next(steps)
    wall, done = time.perf_counter() - wall, time.process_time()
    with suppress(StopIteration):
        next(steps)
    per_step = (done - cpu) / (count - 10)
    once = time.process_time() - began - count * per_step
    return {"cpu": 1e3 * per_step, "wall": 1e3 * wall / (count - 10), "once": 1e3 * once}


def benchmark(
    name: str, *, batch: int, count: int, repeats: int = 9, torchdistill: bool = False
) -> dict[str, Any]:
    """All rows at one size: whole loops of `count` steps, interleaved in shuffled order.

    Raises:
        ValueError: With fewer than eleven steps.
    """
    if count < 11:
        raise ValueError(f"count is {count}; it must be at least 11: the first ten are warm-up.")
    size = Size(name, batch=batch)
    loops = {BARE: bare, RUN: with_run, FOLDER: with_folder}
    if torchdistill and name != "nothing":
        loops[TORCHDISTILL] = with_torchdistill
    times: Times = {loop: {} for loop in loops}
    order = Random(0)
    for _ in range(repeats):
        for loop in order.sample(list(loops), len(loops)):
            for clock, value in measure(loops[loop](size, count), count).items():
                times[loop].setdefault(clock, []).append(value)
    rows = rows_of(times, BARE)
    base = rows[0]["median_ms"]
    for row in rows:
        row["ratio"] = row["median_ms"] / base
        row["microseconds"] = 1e3 * (row["median_ms"] - base)
        row["once_ms"] = statistics.median(row["times"]["once"])
    return {"network": name, "batch": batch, "steps": count, "rows": rows}


SIZES = {"nothing": (1, 20_000), "mlp": (32, 2000), "resnet8": (32, 60)}
"""Batch and steps by network."""


def main() -> None:
    parser = arguments(__doc__, repeats=9)
    parser.add_argument("--with-torchdistill", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(torch.device("cpu")), "sizes": []}
    if options.with_torchdistill:
        report["environment"]["torchdistill"] = metadata.version("torchdistill")
    more = {"ratio": "of bare", "microseconds": "us more", "once_ms": "once, ms"}
    for name, (batch, count) in SIZES.items():
        result = benchmark(
            name,
            batch=batch,
            count=count,
            repeats=options.repeats,
            torchdistill=options.with_torchdistill,
        )
        report["sizes"].append(result)
        show(console, f"{name}, batch {batch}, {count} steps", result["rows"], more=more)
        row = named(result, RUN)
        ratio, microseconds = row["ratio"], row["microseconds"]
        met = ratio <= LARGEST_RATIO or microseconds <= LARGEST_MICROSECONDS
        reached = "reached" if met else "NOT reached"
        console.print(
            f"{RUN}: {ratio:.3f} of the bare loop, {microseconds:.1f} us more a step; "
            f"target {LARGEST_RATIO} or {LARGEST_MICROSECONDS:g} us {reached}.\n"
        )
    write(options.json, report)


if __name__ == "__main__":
    main()
