"""CIFAR-10 on one GPU: accuracy over total wall-clock time for SSD-KD, Fast-5 and CMI.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --pair resnet34-resnet18 --methods ssd-kd --minutes 8 --compile
    python benchmarks/gpu.py --toy            # digits and tiny networks: seconds on a CPU

Two pairs: a ResNet-34 that is trained here in minutes, to a ResNet-18; and the public ResNet-56,
to a ResNet-20. `--minutes` is what each method gets for synthesis and distillation together; the
learning rate follows it. The teacher's training and all evaluation are counted on top: "total" is
everything between images in memory and the last student. Time is split by section, with the device
synchronised at each border. The last student is reported, never the best.

The teacher is trained as CIFAR speed runs do it: images as one uint8 tensor on the device, one
gather a batch for crops and flips, channels last, bf16, large batches under a triangular learning
rate, Nesterov momentum, label smoothing; no loader. `--compile` compiles its network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from measure import default_device, environment, write
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from bequest import data
from bequest.losses.distillation import accuracy
from bequest.memory.replay import to_floats
from bequest.methods.base import change
from bequest.methods.data_free.cmi import CMI
from bequest.methods.data_free.fast import Fast
from bequest.methods.data_free.ssd_kd import SSDKD
from bequest.nn import zoo
from bequest.nn.normalize import Normalized
from bequest.ops.augment import random_crop_flip
from bequest.run import Budget, Run
from bequest.synthesis.observer import predict

GOAL = 94.0
"""Accuracy in percent, within ten minutes, for the first pair."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a teacher is trained."""

    epochs: int = 30
    batch: int = 512
    learning_rate: float = 0.4
    """At the peak."""
    peak: float = 0.2
    """Share of the training at which the learning rate is largest."""
    weight_decay: float = 5e-4
    smoothing: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A teacher, a student, and what differs from the methods' own values."""

    teacher: str
    student: str
    recipe: Recipe | None
    """None takes public weights."""
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By the name of the method."""
    steps: int | None = None
    """Stop each phase after so many steps, whatever the time."""


METHODS: dict[str, Any] = {
    # More rounds than fit: time decides. A student step costs the same in all three.
    "ssd-kd": SSDKD(rounds=10_000),
    "fast": Fast(rounds=500),
    "cmi": CMI(rounds=500, batch_size=256, learning_rate=0.2),
}
PAIRS = {
    "resnet34-resnet18": Pair(teacher="resnet34", student="resnet18", recipe=Recipe()),
    "resnet56-resnet20": Pair(teacher="resnet56", student="resnet20", recipe=None),
}
_TOY: dict[str, Any] = {
    "batch_size": 32,
    "synthesis_batch": 32,
    "temperature": 4.0,
    "learning_rate": 0.1,
    "latent_dim": 32,
    "generator_width": 4,
    "crop_padding": 0,
    "flip": False,
    "student_steps": 5,
}
TOY = Pair(
    teacher="convnet8",
    student="convnet4",
    recipe=Recipe(epochs=5, batch=64, learning_rate=0.1),
    changes={
        "ssd-kd": _TOY | {"buffer_size": 64},
        "fast": _TOY | {"warmup_rounds": 2},
        "cmi": _TOY | {"inversion_steps": 5, "negatives": 64, "bank_size": 256, "head_dim": 32},
    },
    steps=20,
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method on one pair."""

    pair: str
    method: str
    teacher_accuracy: float
    accuracy: float
    """Of the last student on all test images, in percent."""
    seconds: dict[str, float]
    """Wall-clock: teacher, inversion, distillation, evaluation, other."""
    steps: int
    """Of the student."""
    petaflop: float
    """Counted from the operators of inversion and distillation."""
    peak_memory_bytes: int
    curve: list[tuple[float, float]]
    """Total seconds so far, the teacher's included, and accuracy."""

    @property
    def total(self) -> float:
        """Everything counted."""
        return sum(self.seconds.values())


def now(device: torch.device) -> float:
    """Wall-clock seconds, when the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def triangle(fraction: float, peak: float) -> float:
    """From 0.05 at 0 up to 1 at `peak` and down to 0.01 at 1, along two lines."""
    if fraction < peak:
        return 0.05 + 0.95 * fraction / peak
    return 1 - 0.99 * (fraction - peak) / (1 - peak)


def train_teacher(
    name: str, images: data.ImageData, recipe: Recipe, run: Run, *, compiled: bool
) -> nn.Module:
    """A zoo network for images in [0, 1], trained on all training images; in eval mode."""
    network = zoo.build(name, num_classes=images.num_classes, in_channels=images.image_size[0])
    model = run.place(Normalized(network, images.mean, images.std)).train()
    forward: Any = torch.compile(model) if compiled else model
    pixels, labels = images.train_images.to(run.device), images.train_labels.to(run.device)
    on_gpu = run.device.type == "cuda"
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=recipe.weight_decay,
        fused=on_gpu,
    )
    rng = run.stream("teacher")
    padding = 4 if images.image_size[-1] >= 28 else 1
    per_epoch = len(pixels) // recipe.batch
    total = recipe.epochs * per_epoch
    order = torch.empty(0, dtype=torch.int64)
    for step in range(total):
        place = step % per_epoch * recipe.batch
        if place == 0:
            order = torch.randperm(len(pixels), generator=rng, device=run.device)
        chosen = order[place : place + recipe.batch]
        batch = random_crop_flip(pixels[chosen], rng, padding=padding, flip=images.mirrored)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * triangle(step / total, recipe.peak)
        with run.autocast():
            logits = forward(to_floats(batch))
        loss = F.cross_entropy(logits.float(), labels[chosen], label_smoothing=recipe.smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return model.eval()


class Judge:
    """Top-1 accuracy on the test images, in percent, with the time at which it was taken."""

    def __init__(self, images: data.ImageData, run: Run, *, spent: float = 0.0) -> None:
        self.pixels = images.test_images.to(run.device)
        self.labels = images.test_labels.to(run.device)
        self.run, self.start, self.spent = run, now(run.device), spent
        self.curve: list[tuple[float, float]] = []

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """A monitor of the methods."""
        found = 100 * accuracy(predict(network, self.pixels, self.run), self.labels).item()
        self.curve.append((self.spent + now(self.run.device) - self.start, found))
        return {"accuracy": found}


def prepare(
    pair: Pair, images: data.ImageData, run: Run, *, compiled: bool
) -> tuple[nn.Module, float, float]:
    """The teacher for images in [0, 1], the seconds it took, and its accuracy."""
    start = now(run.device)
    if pair.recipe is None:
        network = data.public_network(pair.teacher)
        teacher = run.place(Normalized(network, *data.PUBLIC_NORMALIZATION)).eval()
    else:
        teacher = train_teacher(pair.teacher, images, pair.recipe, run, compiled=compiled)
    spent = now(run.device) - start if pair.recipe else 0.0
    return teacher, spent, Judge(images, run)(teacher)["accuracy"]


def distil(
    name: str,
    method: str,
    pair: Pair,
    images: data.ImageData,
    prepared: tuple[nn.Module, float, float],
    *,
    seconds: float,
    seed: int,
) -> Row:
    """One whole run of a method through its public interface."""
    teacher, spent, teacher_accuracy = prepared
    budget = Budget(seconds=seconds, steps=pair.steps)
    with Run(seed=seed, budget=budget) as run:
        if run.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(run.device)
        start = now(run.device)
        network = zoo.build(
            pair.student, num_classes=images.num_classes, in_channels=images.image_size[0]
        )
        constants = (images.mean, images.std) if pair.recipe else data.PUBLIC_NORMALIZATION
        judge = Judge(images, run, spent=spent)
        result = change(METHODS[method], **pair.changes.get(method, {})).fit(
            teacher,
            Normalized(network, *constants),
            image_size=images.image_size,
            num_classes=images.num_classes,
            run=run,
            monitor=judge,
        )
        whole = now(run.device) - start
    inversion = sum(result.seconds.get(part, 0.0) for part in ("warm-up", "inversion"))
    split = {
        "teacher": spent,
        "inversion": inversion,
        "distillation": result.seconds.get("distillation", 0.0),
        "evaluation": result.seconds.get("evaluation", 0.0),
    }
    split["other"] = whole - sum(split.values()) + spent
    return Row(
        pair=name,
        method=method,
        teacher_accuracy=teacher_accuracy,
        accuracy=result.metrics["accuracy"],
        seconds=split,
        steps=run.step,
        petaflop=sum(n for part, n in result.flops.items() if part != "evaluation") / 1e15,
        peak_memory_bytes=result.peak_memory_bytes,
        curve=judge.curve,
    )


def show(rows: Sequence[Row], device: str) -> None:
    """Accuracy and the split of time; then accuracy along the way."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    table = Table(title=f"Accuracy over total wall-clock time, {device}")
    parts = ("teacher", "inversion", "distillation", "evaluation", "other")
    for column in ("pair", "method", *(f"{part} s" for part in parts), "total s"):
        table.add_column(column, justify="left" if column in ("pair", "method") else "right")
    for column in ("steps", "PFLOP", "GB", "teacher %", "student %"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.pair,
            row.method,
            *(f"{row.seconds[part]:.1f}" for part in parts),
            f"{row.total:.1f}",
            f"{row.steps:,}",
            f"{row.petaflop:.3g}",
            f"{row.peak_memory_bytes / 1e9:.2f}",
            f"{row.teacher_accuracy:.2f}",
            f"{row.accuracy:.2f}",
        )
    console.print(table)
    for row in rows:
        points = [*row.curve[:: max(1, len(row.curve) // 5)], row.curve[-1]]
        line = ", ".join(f"{found:.1f} % at {seconds:.0f} s" for seconds, found in points)
        console.print(f"{row.pair}, {row.method}: {line}")


def verdict(rows: Sequence[Row]) -> str | None:
    """Whether the first pair reached the goal; None where it was not run."""
    mine = [row for row in rows if row.pair == "resnet34-resnet18"]
    if not mine:
        return None
    within = [row for row in mine if row.total <= 600]
    best = max(within or mine, key=lambda row: row.accuracy)
    reached = "reached" if within and best.accuracy >= GOAL else "NOT reached"
    return (
        f"Goal {GOAL:g} % within 600 s, everything counted: {reached} ({best.method}: "
        f"{best.accuracy:.2f} % after {best.total:.0f} s)."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pair", nargs="*", choices=list(PAIRS), default=list(PAIRS))
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--minutes", type=float, default=7.0, help="of each method on each pair")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default="cifar10", help="name for bequest.data.load")
    parser.add_argument("--compile", action="store_true", help="compile the teacher for training")
    parser.add_argument("--toy", action="store_true", help="digits, tiny networks, few steps")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args(arguments)
    device = default_device()
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # CMI's discriminator is outside autocast
    images = data.load("digits" if options.toy else options.data)
    pairs = {"toy": TOY} if options.toy else {name: PAIRS[name] for name in options.pair}
    report: dict[str, Any] = {"environment": environment(device), "seed": options.seed}
    rows: list[Row] = []
    for name, pair in pairs.items():
        with Run(seed=options.seed) as run:
            prepared = prepare(pair, images, run, compiled=options.compile)
        for method in options.methods:
            seconds = 60 * options.minutes
            rows.append(
                distil(name, method, pair, images, prepared, seconds=seconds, seed=options.seed)
            )
    show(rows, report["environment"]["device"])
    if line := verdict(rows):
        print(line)
    settings = {name: asdict(METHODS[name]) for name in options.methods}
    report |= {"minutes": options.minutes, "data": images.name, "methods": settings}
    report["pairs"] = {name: asdict(pair) for name, pair in pairs.items()}
    write(options.json, report | {"rows": [asdict(row) | {"total": row.total} for row in rows]})


if __name__ == "__main__":
    main()
