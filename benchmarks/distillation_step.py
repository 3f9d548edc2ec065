"""One step of the student on synthetic images: drawn, cropped and flipped, KL to the teacher, SGD.

Compares the step as public code writes it (images decoded from PNG files one by one, fp32, NCHW,
the teacher asked anew at each step) with :class:`bequest.synthesis.learner.Learner` on a bank of
uint8 images. The bare loop has the arithmetic of our default step and nothing around it.

    python benchmarks/distillation_step.py --json distillation_step.json

Rows are interleaved in shuffled order. All start from the same student and draw from the same
pool, each its own batches, so that the losses they have reached when all is measured must agree;
and the first loss is compared between bf16 and fp32 on one batch. With stored logits the
target is another one: the teacher's answer on the uncropped image.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
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
from pool import Files
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from bequest.memory.pool import ImagePool
from bequest.memory.replay import to_bytes, to_floats
from bequest.methods.data_free.fast import Fast
from bequest.nn import zoo
from bequest.nn.modes import frozen
from bequest.nn.normalize import Normalized
from bequest.ops.augment import random_crop_flip
from bequest.run import Run
from bequest.synthesis.learner import Learner
from bequest.synthesis.observer import predict

TARGET = 3.5
PUBLIC = "public style: PNG, fp32 NCHW"
PUBLIC_BANK = "the same, images in memory"
FP32 = "ours, fp32"
OURS = "ours, bf16"
STORED = "ours, bf16, stored logits"
BARE = "bare loop, bf16"
TEMPERATURE, RATE = 20.0, 0.01


@dataclass
class Case:
    """What all rows share: the networks and the images, uint8 `(count, 3, 32, 32)`."""

    teacher: nn.Module
    student: nn.Module
    pixels: Tensor
    batch: int
    device: torch.device


def case(teacher: str, student: str, *, batch: int, stored: int, device: torch.device) -> Case:
    """Random networks with filled statistics and a pool of smooth random pictures."""
    rng = torch.Generator().manual_seed(0)
    pictures = F.interpolate(torch.rand(stored, 3, 8, 8, generator=rng), size=32, mode="bicubic")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        learner = zoo.build(student, num_classes=10)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    networks = Normalized(random_teacher(teacher), mean, std), Normalized(learner, mean, std)
    return Case(*networks, to_bytes(pictures.clamp(0, 1)), batch, device)


def plain_loss(answer: Tensor, target: Tensor) -> Tensor:
    """`T^2 KL(teacher || student)` in the shortest form."""
    teacher, student = (F.log_softmax(x.float() / TEMPERATURE, 1) for x in (target, answer))
    return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * TEMPERATURE**2


@dataclass
class Row:
    """One way to take the step, and the student that it changes."""

    step: Callable[[], object]
    student: nn.Module


def plain(case: Case, images: Callable[[], Tensor], *, channels_last: bool, bf16: bool) -> Row:
    """The step without Bequest around it."""
    order = torch.channels_last if channels_last else torch.contiguous_format
    networks = copy.deepcopy(case.teacher), copy.deepcopy(case.student)
    teacher, student = (x.to(case.device, memory_format=order) for x in networks)  # type: ignore[call-overload]
    teacher.eval()
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        batch = images()
        with torch.autocast(case.device.type, torch.bfloat16, enabled=bf16):
            with torch.no_grad():
                target = teacher(batch)
            answer = student(batch)
        loss = plain_loss(answer, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Row(step, student)


def in_memory(case: Case, *, channels_last: bool) -> Callable[[], Tensor]:
    """Draws batches out of a tensor, cropped and flipped, in [0, 1]."""
    order = torch.channels_last if channels_last else torch.contiguous_format
    bank = case.pixels.to(case.device).contiguous(memory_format=order)
    rng = torch.Generator(case.device).manual_seed(3)

    def images() -> Tensor:
        places = torch.randint(len(bank), (case.batch,), generator=rng, device=case.device)
        drawn = to_floats(random_crop_flip(bank[places], rng))
        return drawn.contiguous(memory_format=order)

    return images


def ours(case: Case, *, precision: str, stored: bool) -> Row:
    """The step as methods take it: `Run.steps`, `ImagePool`, `Learner`."""
    run = Run(device=case.device.type, precision=precision)
    teacher, student = (run.place(copy.deepcopy(x)) for x in (case.teacher, case.student))
    teacher.eval()
    method = Fast(learning_rate=RATE, temperature=TEMPERATURE, reuse_teacher_logits=stored)
    learner = Learner(teacher, student.train(), method, run)
    pool = ImagePool(len(case.pixels))
    pixels = case.pixels.to(case.device, memory_format=torch.channels_last)
    pool.add(pixels, predict(teacher, pixels, run))

    def steps() -> Iterator[None]:
        with run, frozen(teacher):
            # So many that the learning rate stays where it is while we measure.
            for _ in run.steps(10**6, state={"learner": learner}):
                drawn = pool.training.take(pool.uniform(case.batch, run.rng))
                learner.step(drawn["images"], logits=drawn["logits"])
                yield

    return Row(steps().__next__, student)


@torch.no_grad()
def loss_reached(case: Case, student: nn.Module, *, bf16: bool = False) -> float:
    """The student's loss on the first images of the pool, by their own batch statistics."""
    images = to_floats(case.pixels[: case.batch]).to(case.device)
    teacher, student = case.teacher.to(case.device), copy.deepcopy(student).train()
    with torch.autocast(case.device.type, torch.bfloat16, enabled=bf16):
        return plain_loss(student(images), teacher(images)).item()


def benchmark(
    *,
    teacher: str = "resnet20",
    student: str = "resnet8",
    batch: int = 128,
    stored: int = 5000,
    repeats: int = 7,
    inner: int = 3,
) -> dict[str, Any]:
    """Times of all rows, FLOPs, and the loss that each student reached."""
    device = default_device()
    shared = case(teacher, student, batch=batch, stored=stored, device=device)
    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder))
        files.write(shared.pixels.float() / 255)
        rows = {
            PUBLIC: plain(
                shared, lambda: files.read(batch).to(device), channels_last=False, bf16=False
            ),
            PUBLIC_BANK: plain(
                shared, in_memory(shared, channels_last=False), channels_last=False, bf16=False
            ),
            FP32: ours(shared, precision="fp32", stored=False),
            OURS: ours(shared, precision="bf16", stored=False),
            STORED: ours(shared, precision="bf16", stored=True),
            BARE: plain(
                shared, in_memory(shared, channels_last=True), channels_last=True, bf16=True
            ),
        }
        times = interleaved(
            {name: row.step for name, row in rows.items()},
            repeats=repeats,
            inner=inner,
            on_gpu=device.type == "cuda",
        )
        start, bf16 = (
            loss_reached(shared, shared.student.to(device), bf16=bf16) for bf16 in (False, True)
        )
        with FlopCounterMode(display=False) as counter:
            rows[BARE].step()
    table = rows_of(times, PUBLIC)
    for row in table:
        row["loss"] = loss_reached(shared, rows[row["name"]].student)
    setting = {"teacher": teacher, "student": student, "batch": batch, "stored": stored}
    setting |= {"image": [3, 32, 32], "steps": 1 + repeats * inner, "loss_at_start": start}
    setting |= {"bf16_difference_at_start": bf16 / start - 1}
    return setting | {"gflop": counter.get_total_flops() / 1e9, "rows": table}


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--teacher", default="resnet20")
    parser.add_argument("--student", default="resnet8")
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(default_device())}
    sizes = {"teacher": options.teacher, "student": options.student, "batch": options.batch}
    result = benchmark(**sizes, repeats=options.repeats)
    report["sizes"] = [result]
    title = f"{options.teacher} to {options.student}, batch {options.batch}, 32x32"
    title += f", {result['gflop']:.1f} GFLOP a step with recomputed logits"
    show(console, title, result["rows"], more={"loss": f"loss after {result['steps']} steps"})
    start, difference = result["loss_at_start"], result["bf16_difference_at_start"]
    console.print(f"Loss at the start: {start:.4g}; in bf16 {difference:+.2%} on the same batch.")
    for name in (OURS, STORED):
        console.print(verdict(name, named(result, name)["speedup"], TARGET))
    over = named(result, OURS)["median_ms"] / named(result, BARE)["median_ms"]
    console.print(f"{OURS}: {over:.3f} of the bare loop's time.")
    write(options.json, report)


if __name__ == "__main__":
    main()
