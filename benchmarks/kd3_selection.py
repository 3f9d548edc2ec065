"""KD3's selection: does it cost more than one look of teacher and student at the pool?

    python benchmarks/kd3_selection.py --json kd3_selection.json

The bare row is an inference pass of the teacher and one of the student, projector and shared head
included, over the pool as it is, in batches of the same size. The selection cuts a random view of
each image besides, mixes logits, counts classes and compares with their thresholds.
"""

from __future__ import annotations

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
    write,
)
from rich.console import Console

from bequest.methods.unlabelled.kd3 import KD3, Lesson
from bequest.nn.modes import frozen
from bequest.run import Run
from bequest.synthesis.observer import predict

BARE = "a pass of the teacher, a pass of the student"
OURS = "selection"
LIMIT = 1.1


def benchmark(
    *,
    teacher: str = "resnet56",
    student: str = "resnet20",
    images: int = 1000,
    repeats: int = 7,
    precision: str = "fp32",
) -> dict[str, Any]:
    """Times of both rows, interleaved; `ratio` is of the medians, ours over bare."""
    device = default_device()
    with Run(device=str(device), precision=precision) as run, torch.no_grad():
        networks = run.place(random_teacher(teacher)), run.place(random_teacher(student))
        lesson = Lesson(*networks, KD3(), run, image_size=(3, 32, 32))
        pixels = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8, device=device)
        pixels = pixels.contiguous(memory_format=torch.channels_last)

        batch = 128 if device.type == "cpu" else 1000  # as the selection, so that work is alike

        def bare() -> None:
            for network in (lesson.teacher, lesson.model):
                predict(network, pixels, run, batch_size=batch)

        def ours() -> None:
            lesson.select(pixels, least=100)

        with frozen(lesson.teacher):
            times = interleaved(
                {BARE: bare, OURS: ours}, repeats=repeats, on_gpu=device.type == "cuda"
            )
    rows = rows_of(times, BARE)
    result = {"teacher": teacher, "student": student, "images": images, "rows": rows}
    return result | {"ratio": 1 / named(result, OURS)["speedup"]}


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--pairs", nargs="+", default=["resnet56:resnet20", "resnet20:resnet8"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(default_device()), "pairs": []}
    for pair in options.pairs:
        teacher, _, student = pair.partition(":")
        result = benchmark(
            teacher=teacher, student=student, images=options.images, repeats=options.repeats
        )
        report["pairs"].append(result)
        show(console, f"{teacher} and {student}, {options.images} images, 32x32", result["rows"])
        reached = "reached" if result["ratio"] <= LIMIT else "NOT reached"
        console.print(f"selection: {result['ratio']:.3f} times, limit {LIMIT:g} {reached}.\n")
    write(options.json, report)


if __name__ == "__main__":
    main()
