"""One step of the student on synthetic images: drawn, cropped and flipped, KL to the teacher, SGD.

Compares the step as public code writes it (images decoded from PNG files one by one, fp32, NCHW,
the teacher asked anew at each step) with :class:`bequest.synthesis.learner.Learner` on a bank of
uint8 images. The bare loop has the arithmetic of our default step and nothing around it.

    python benchmarks/distillation_step.py --json distillation_step.json

Rows are interleaved in shuffled order. All start from the same student and see the same pool, so
their losses over the measured steps must agree; with stored logits the target is another one (the
teacher's answer on the uncropped image), and so is the loss.
"""

from __future__ import annotations

import copy
import statistics
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


def plain_step(
    case: Case, images: Callable[[], Tensor], *, channels_last: bool, bf16: bool
) -> Callable[[], Tensor]:
    """The step without Bequest around it."""
    order = torch.channels_last if channels_last else torch.contiguous_format
    networks = copy.deepcopy(case.teacher), copy.deepcopy(case.student)
    teacher, student = (x.to(case.device, memory_format=order) for x in networks)  # type: ignore[call-overload]
    teacher.eval()
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4)

    def step() -> Tensor:
        batch = images()
        with torch.autocast(case.device.type, torch.bfloat16, enabled=bf16):
            with torch.no_grad():
                target = teacher(batch)
            answer = student(batch)
        loss = plain_loss(answer, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def public_images(case: Case) -> Callable[[], Tensor]:
    """Batches out of a tensor in memory, cropped and flipped, NCHW: the files' best case."""
    bank = case.pixels.to(case.device).contiguous()
    rng = torch.Generator(case.device).manual_seed(3)

    def images() -> Tensor:
        places = torch.randint(len(bank), (case.batch,), generator=rng, device=case.device)
        return to_floats(random_crop_flip(bank[places], rng)).contiguous()

    return images


def bare_images(case: Case) -> Callable[[], Tensor]:
    """Batches out of a channels-last tensor, by our own operations."""
    bank = case.pixels.to(case.device, memory_format=torch.channels_last)
    rng = torch.Generator(case.device).manual_seed(3)

    def images() -> Tensor:
        places = torch.randint(len(bank), (case.batch,), generator=rng, device=case.device)
        rows = bank.permute(0, 2, 3, 1).index_select(0, places).permute(0, 3, 1, 2)
        return to_floats(random_crop_flip(rows, rng))

    return images


def our_step(case: Case, *, precision: str, stored: bool, count: int) -> Callable[[], Tensor]:
    """The step as methods take it: `Run.steps`, `ImagePool`, `Learner`; at most `count` steps."""
    run = Run(device=case.device.type, precision=precision)
    teacher, student = (run.place(copy.deepcopy(x)) for x in (case.teacher, case.student))
    teacher.eval()
    method = Fast(learning_rate=RATE, temperature=TEMPERATURE, reuse_teacher_logits=stored)
    learner = Learner(teacher, student.train(), method, run)
    pool = ImagePool(len(case.pixels))
    pixels = case.pixels.to(case.device, memory_format=torch.channels_last)
    pool.add(pixels, predict(teacher, pixels, run))

    def steps() -> Iterator[Tensor]:
        with run, frozen(teacher):
            for _ in run.steps(count, state={"learner": learner}):
                drawn = pool.training.take(pool.uniform(case.batch, run.rng))
                learner.step(drawn["images"], logits=drawn["logits"])
                yield run.metrics.latest_loss() if False else torch.zeros(())

    return steps().__next__
