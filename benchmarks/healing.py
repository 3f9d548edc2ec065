"""What healing a pruned network costs, beside training it.

Prunes a ResNet-56, then measures single steps of what the method does: an inversion step on the
pixels (the unpruned network forward and backward, BatchNorm statistics, priors), the unpruned
network's maps on the images, a healing step (the pruned network forward and backward); and beside
them the training step of such a network. Each is multiplied by how often it occurs: in healing as
the study at size `cifar10` is set, in training as published (64,000 iterations at a batch of 128:
He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Sec. 4.2). Nothing is trained
to the end, so the ratio is of cost alone; what accuracy it buys is the study's to say.

    python benchmarks/healing.py --json healing.json
    python benchmarks/healing.py --network resnet20 --sparsity 0.5

Rows are interleaved in shuffled order within one process; times are medians, CPU time at one
thread, or the device's clock on a GPU. Weights are random: they change nothing in the cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from measure import (
    arguments,
    default_device,
    environment,
    interleaved,
    named,
    random_teacher,
    rows_of,
    show,
    verdict,
    write,
)
from rich.console import Console
from torch.nn import functional as F

from bequest.losses.supervision import intermediate_loss, ramp_weights
from bequest.methods.base import change
from bequest.methods.compression.dfbf import DFBF
from bequest.nn.modes import frozen
from bequest.nn.normalize import Normalized
from bequest.nn.taps import Taps
from bequest.run import Run
from bequest.studies.compression.dfbf import arms
from bequest.synthesis.host import Host
from bequest.synthesis.pixels import PixelBatches
from bequest.synthesis.priors import total_variation
from bequest.synthesis.statistics import BatchNormStatistics

TRAINING_STEPS, TRAINING_BATCH = 64_000, 128
SIZE, CLASSES = (3, 32, 32), 10
TARGET = 10.0
"""Training should cost so many times more than healing."""
TRAIN, INVERT, MAPS, HEAL = (
    "a training step",
    "an inversion step",
    "maps of a batch",
    "a healing step",
)


def counts(method: DFBF) -> dict[str, int]:
    """How often each step occurs."""
    images = method.batches * method.synthesis_batch
    healed_on = images - images // 16
    return {
        TRAIN: TRAINING_STEPS,
        INVERT: method.batches * method.inversion_steps,
        MAPS: math.ceil(images / method.synthesis_batch),
        HEAL: method.epochs * math.ceil(healed_on / method.batch_size),
    }


def steps(
    method: DFBF, network: str, run: Run, training_batch: int
) -> dict[str, Callable[[], Any]]:
    """The four steps, each on networks of its own."""
    host = Host(run.place(Normalized(random_teacher(network), [0.5], [0.25])))
    plan, pruned, _ = method.prune(host, SIZE)
    weights = ramp_weights(len(plan.taps), method.ramp)
    noise = torch.rand(method.synthesis_batch, *SIZE, generator=torch.Generator().manual_seed(1))
    bank = (255 * noise).to(run.device, torch.uint8).contiguous(memory_format=torch.channels_last)
    images = host.normalized(bank / 255)
    small = images[: method.batch_size]
    with frozen(host.network), torch.no_grad(), Taps(host.part, plan.taps) as taps:
        host.part(small)
        theirs = taps.values()

    learner = run.place(random_teacher(network)).train()
    labels = torch.arange(training_batch, device=run.device) % CLASSES
    training = torch.rand(training_batch, *SIZE, device=run.device)
    training = training.contiguous(memory_format=torch.channels_last)
    trainer, healer = (
        torch.optim.SGD(one.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
        for one in (learner, pruned.train())
    )

    def train() -> None:
        with run.autocast():
            logits = learner(training)
        _descend(trainer, F.cross_entropy(logits.float(), labels))

    targets = torch.arange(method.synthesis_batch, device=run.device) % CLASSES
    pixels = PixelBatches(
        bank,
        torch.tensor([0.5]),
        torch.tensor([0.25]),
        batch_size=method.synthesis_batch,
        steps=method.inversion_steps,
        learning_rate=method.lr_pixels,
        warm_up=method.warm_up,
        betas=(0.9, 0.99),
        jitter=method.jitter,
        flip=method.flip,
        half_steps=0,
        run=run,
    )
    statistics = BatchNormStatistics(host.network)

    def invert() -> None:
        with frozen(host.network), statistics:
            x = pixels.look(1)
            with run.autocast():
                logits = host.inner(x)
            loss = F.cross_entropy(logits.float(), targets) + statistics.loss()
            pixels.step(1, loss + total_variation(x))

    def remember() -> None:
        with frozen(host.network), torch.no_grad(), Taps(host.part, plan.taps) as taps:
            with run.autocast():
                host.part(images)
            taps.values()

    def heal() -> None:
        with Taps(pruned, plan.taps) as taps, run.autocast():
            pruned(small)
            loss = intermediate_loss(taps.values(), theirs, weights)
        _descend(healer, loss)

    return {TRAIN: train, INVERT: invert, MAPS: remember, HEAL: heal}


def _descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def benchmark(
    device: torch.device,
    network: str,
    method: DFBF,
    *,
    repeats: int,
    training_batch: int = TRAINING_BATCH,
) -> dict[str, Any]:
    """Times of the steps, seconds of all of them, and what training costs beside healing."""
    with Run(None, seed=0, device=str(device), precision="fp32") as run:
        calls = steps(method, network, run, training_batch)
        rows = rows_of(interleaved(calls, repeats=repeats, on_gpu=device.type == "cuda"), TRAIN)
    for row in rows:
        row["count"] = counts(method)[row["name"]]
        row["seconds"] = row["count"] * row["median_ms"] / 1e3
    training = named({"rows": rows}, TRAIN)["seconds"]
    healing = sum(row["seconds"] for row in rows) - training
    return {
        "network": network,
        "sparsity": method.sparsity,
        "images": method.batches * method.synthesis_batch,
        "training_seconds": training,
        "healing_seconds": healing,
        "share": healing / training,
        "rows": rows,
    }


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--network", default="resnet56")
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.5, 0.7])
    options = parser.parse_args()
    torch.set_num_threads(1)
    console, device = Console(), default_device()
    report: dict[str, Any] = {"environment": environment(device), "results": []}
    for sparsity in options.sparsity:
        method = change(arms("cifar10")["dfbf"], sparsity=sparsity)
        result = benchmark(device, options.network, method, repeats=options.repeats)
        report["results"].append(result)
        title = f"{options.network}, {sparsity:.0%} of the filters inside blocks pruned"
        show(console, title, result["rows"], more={"count": "times", "seconds": "seconds"})
        console.print(
            f"Healing takes {result['healing_seconds']:.0f} s, {result['share']:.2%} of the "
            f"{result['training_seconds']:.0f} s of training."
        )
        ratio = result["training_seconds"] / result["healing_seconds"]
        console.print(verdict("Training over healing", ratio, TARGET))
    write(options.json, report)


if __name__ == "__main__":
    main()
