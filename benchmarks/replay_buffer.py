"""A reservoir of a stream: blocks written, batches drawn; and a whole class-incremental run.

    python benchmarks/replay_buffer.py --json replay_buffer.json

`write` offers a block to a full reservoir, `draw` takes a random batch out of it, as fp32 in
[0, 1]. Beside Bequest's buffer: a loop over samples in plain PyTorch, as public code of continual
learning has it, and, where avalanche-lib is installed, its `ReservoirSamplingBuffer`, read through
its own loader as its replay plug-in does. The plug-in updates once an experience: `--blocks` has
one block of 32, a step of a stream, and one of 1,000, an experience.

`run` is experience replay over a class-incremental stream: Bequest's method, with checkpoints,
figures and exams, against a bare loop with the same network, batches, draws and steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from measure import arguments, default_device, environment, interleaved, named, rows_of, show, write
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from bequest.memory.protocols import class_incremental, exams_by_task
from bequest.memory.replay import ReplayBuffer, reservoir_places, to_floats
from bequest.memory.stream import Exam, Stream
from bequest.methods.continual.experience_replay import ExperienceReplay
from bequest.nn import zoo
from bequest.run import Run

LOOP = "loop over samples"
AVALANCHE = "avalanche"
OURS = "ReplayBuffer"
BARE = "bare loop"
METHOD = "ExperienceReplay"


class LoopedReservoir:
    """Reservoir sampling sample by sample, as public code of continual learning does it."""

    def __init__(self, capacity: int, images: Tensor, labels: Tensor) -> None:
        self.images = images.new_zeros((capacity, *images.shape[1:]))
        self.labels = labels.new_zeros(capacity)
        self.capacity, self.seen = capacity, 0

    def add(self, images: Tensor, labels: Tensor) -> None:
        """One block."""
        for image, label in zip(images, labels):
            place = self.seen
            if place >= self.capacity:
                place = int(torch.randint(self.seen + 1, (1,)))
            self.seen += 1
            if place < self.capacity:
                self.images[place] = image
                self.labels[place] = label

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Different samples, as fp32 in [0, 1]."""
        places = torch.randperm(min(self.seen, self.capacity))[:count].to(self.images.device)
        return self.images[places].float() / 255, self.labels[places]


def avalanche_calls(
    images: Tensor, labels: Tensor, *, capacity: int, batch: int
) -> dict[str, Callable[[], Any]]:
    """Avalanche's reservoir, full; nothing where it is not installed."""
    try:
        from avalanche.benchmarks.utils import as_classification_dataset
        from avalanche.training.storage_policy import ReservoirSamplingBuffer
    except ImportError:
        return {}

    bank = torch.utils.data.TensorDataset(images, labels)
    bank.targets = labels.tolist()  # what it looks for in a data set
    buffer = ReservoirSamplingBuffer(max_size=capacity)

    def add() -> None:
        buffer.update_from_dataset(as_classification_dataset(bank))

    for _ in range(-(-2 * capacity // len(images))):
        add()
    loader = torch.utils.data.DataLoader(buffer.buffer, batch_size=batch, shuffle=True)
    batches = iter(loader)

    def draw() -> Tensor:
        nonlocal batches
        try:
            drawn = next(batches)
        except StopIteration:
            batches = iter(loader)
            drawn = next(batches)
        return drawn[0].float() / 255

    return {"write": add, "draw": draw}


def buffers(
    *, capacity: int = 200, block: int = 32, batch: int = 32, side: int = 32, repeats: int = 7
) -> dict[str, Any]:
    """Times of writing a block and drawing a batch, the reservoir being full."""
    device = default_device()
    rng = torch.Generator(device).manual_seed(0)
    images = torch.randint(
        256, (block, 3, side, side), dtype=torch.uint8, generator=rng, device=device
    )
    labels = torch.randint(10, (block,), generator=rng, device=device)
    ours = ReplayBuffer(capacity, reservoir=rng)
    looped = LoopedReservoir(capacity, images, labels)
    for _ in range(-(-2 * capacity // block)):
        ours.add(images=images, labels=labels)
        looped.add(images, labels)
    calls: dict[str, dict[str, Callable[[], Any]]] = {
        "write": {
            LOOP: lambda: looped.add(images, labels),
            OURS: lambda: ours.add(images=images, labels=labels),
        },
        "draw": {
            LOOP: lambda: looped.draw(batch),
            OURS: lambda: to_floats(ours.draw(batch, rng)["images"]),
        },
    }
    for name, call in avalanche_calls(
        images, labels, capacity=capacity, batch=min(batch, capacity)
    ).items():
        calls[name][AVALANCHE] = call
    on_gpu = device.type == "cuda"
    tables = {
        name: {"rows": rows_of(interleaved(rows, repeats=repeats, inner=5, on_gpu=on_gpu), LOOP)}
        for name, rows in calls.items()
    }
    return {
        "capacity": capacity,
        "block": block,
        "batch": batch,
        "image": [3, side, side],
        "tables": tables,
    }


def tasks(*, images_each: int, side: int, epochs: int, batch: int) -> tuple[Stream, list[Exam]]:
    """A class-incremental stream of noise around a picture for each of ten classes."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(10).repeat_interleave(images_each)
    centres = torch.rand(10, 1, side, side, generator=rng)
    noise = torch.rand(len(labels), 1, side, side, generator=rng)
    images = (255 * (0.5 * centres[labels] + 0.5 * noise)).to(torch.uint8)
    named_tasks = tuple((2 * n, 2 * n + 1) for n in range(5))
    stream = class_incremental(
        images,
        labels,
        tasks=named_tasks,
        num_classes=10,
        batch_size=batch,
        rng=rng,
        epochs=epochs,
    )
    exams = exams_by_task(images[::10], labels[::10], tasks=named_tasks)
    return stream, exams


def whole_run(
    *,
    images_each: int = 160,
    side: int = 28,
    epochs: int = 2,
    batch: int = 32,
    network: str = "convnet8",
    repeats: int = 5,
) -> dict[str, Any]:
    """Experience replay by the method and by a bare loop: the same weights in the end."""
    device = default_device()
    stream, exams = tasks(images_each=images_each, side=side, epochs=epochs, batch=batch)
    method = ExperienceReplay(
        alpha=0.0, buffer_size=200, replay_batch=batch, crop_padding=0, flip=False
    )
    there = stream.to(device)
    ends: dict[str, Tensor] = {}

    def learner() -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            built = zoo.build(network, num_classes=10, in_channels=1)
        return built.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def by_method() -> None:
        with Run(None, device=str(device), precision="fp32") as run:
            model = method.fit(learner(), stream=stream, exams=exams, run=run).model
        ends[METHOD] = _weights(model)

    def bare() -> None:
        with Run(None, device=str(device)) as run:  # for the same draws
            draws, kept = run.stream("replay"), run.stream("reservoir")
        model = learner().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=method.learning_rate)
        memory: Tensor | None = None
        memory_labels = there.labels.new_zeros(200)
        seen = 0
        for step in range(len(there)):
            images, labels = there.batch(step)
            loss = F.cross_entropy(model(images.float() / 255), labels)
            if memory is not None:
                places = torch.randperm(min(seen, 200), generator=draws, device=draws.device)
                places = places[:batch]
                replayed = model(memory[places].float() / 255)
                loss = loss + method.beta * F.cross_entropy(replayed, memory_labels[places])
            else:
                memory = images.new_zeros((200, *images.shape[1:]))
                memory = memory.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for image, label in zip(images, labels):
                place = int(reservoir_places(1, seen, 200, kept))
                seen += 1
                if place >= 0:
                    memory[place] = image
                    memory_labels[place] = label
        with torch.no_grad():  # the exams: one pass over their images each time
            model.eval()
            for _ in range(1 + len(there.ends)):
                for exam in exams:
                    model(exam.images.to(device).float() / 255).argmax(1)
        ends[BARE] = _weights(model)

    times = interleaved(
        {BARE: bare, METHOD: by_method}, repeats=repeats, on_gpu=device.type == "cuda"
    )
    return {
        "steps": len(stream),
        "batch": batch,
        "network": network,
        "image": [1, side, side],
        "largest_difference": (ends[BARE] - ends[METHOD]).abs().max().item(),
        "rows": rows_of(times, BARE),
    }


def _weights(model: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--capacities", type=int, nargs="+", default=[200, 5000])
    parser.add_argument("--blocks", type=int, nargs="+", default=[32, 1000])
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(default_device()), "buffers": []}
    for capacity in options.capacities:
        for block in options.blocks:
            result = buffers(capacity=capacity, block=block, repeats=options.repeats)
            report["buffers"].append(result)
            for name, table in result["tables"].items():
                title = f"{name}: {capacity} kept, blocks of {block}, batches of {result['batch']}"
                show(console, title, table["rows"])
    report["run"] = whole_run(repeats=options.repeats)
    show(console, f"experience replay, {report['run']['steps']} steps", report["run"]["rows"])
    ratio = 1 / named(report["run"], METHOD)["speedup"]
    console.print(f"{METHOD}: {ratio:.2f} times the bare loop's time.")
    write(options.json, report)


if __name__ == "__main__":
    main()
