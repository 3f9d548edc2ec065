"""One step of distillation with data with each objective, and a teacher that is remembered.

    python benchmarks/objectives.py --json objectives.json

The bare row is what no loop can go below: a forward pass of the teacher, a forward and a backward
pass of the student, cross-entropy and the divergence of the logits, SGD, in plain PyTorch on images
that are there already. Rows `alone` are a forward and a backward pass of the objective on maps and
features that are there already. A row costs what the method does for a step: cutting images,
hooks, copies of tapped maps, projectors, objective, optimizer. The limit is 1.1 times the sum of
both.

Where torchdistill is installed, its own loss takes the place of ours in the bare step, with
the maps and features collected by hooks as it does (rows `torchdistill: ...`): objective against
objective in one process. The last table compares epochs: the teacher asked anew, remembered and
asked for the first time, remembered from the second epoch on.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import torch
from measure import (
    arguments,
    default_device,
    environment,
    interleaved,
    random_teacher,
    rows_of,
    show,
    write,
)
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.losses.objectives.catalog import OBJECTIVES
from bequest.memory.epochs import EpochSampler
from bequest.memory.labelled import LabelledImages
from bequest.methods.base import change
from bequest.methods.distillation.kd import Distillation, Lesson
from bequest.nn.modes import frozen
from bequest.run import Run

BARE = "bare: both passes, CE, KL, SGD"
LIMIT = 1.1
CLASSES, COUNT = 10, 1024
ANEW, FIRST, LATER = "asked anew", "remembered, first epoch", "remembered, later epochs"


class Case:
    """Networks and images that all rows share; each row has a student of its own."""

    def __init__(self, teacher: str, student: str, *, batch: int) -> None:
        self.run = Run(device=str(default_device()), precision="fp32")
        self.teacher = self.run.place(random_teacher(teacher)).eval()
        self._student = random_teacher(student)
        rng = torch.Generator().manual_seed(0)
        images = torch.randint(256, (COUNT, 3, 32, 32), generator=rng, dtype=torch.uint8)
        labels = torch.arange(COUNT) % CLASSES
        given = {"image_size": (3, 32, 32), "num_classes": CLASSES}
        self.data = LabelledImages(images, labels, **given, device=self.run.device)
        self.method = Distillation(batch_size=batch, steps=10**6, negatives=1024)
        self.batch = batch

    def student(self) -> nn.Module:
        """A student that no other row trains."""
        return self.run.place(copy.deepcopy(self._student))

    def lesson(self, method: Distillation) -> Lesson:
        """What takes the steps of a row."""
        return Lesson(
            [self.teacher],
            self.student(),
            self.data,
            method,
            self.run,
            image_size=(3, 32, 32),
            num_classes=CLASSES,
        )

    def places(self) -> Iterator[Tensor]:
        """Batches of places without end, the same for every row."""
        rng = torch.Generator(self.run.device).manual_seed(0)
        sampler = EpochSampler(COUNT, self.run.device)
        while True:
            if sampler.is_over(self.batch):
                sampler.begin(None, rng)
            yield sampler.next(self.batch)


def ours(case: Case, method: Distillation) -> Callable[[], None]:
    """A step with the objective; a new cut of each image, the teacher asked."""
    lesson, places = case.lesson(method), case.places()
    count = iter(range(10**9))
    return lambda: lesson.step(next(places), epoch=next(count))


def bare(case: Case) -> Callable[[], None]:
    """The same step in plain PyTorch, on images that are there already."""
    student, teacher = case.student().train(), case.teacher
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    places = next(case.places())
    images, labels = case.data.take(places).float() / 255, case.data.labels[places]

    def step() -> None:
        with torch.no_grad():
            target = teacher(images)
        answer = student(images)
        divergence = F.kl_div(
            F.log_softmax(answer / 4, 1), F.softmax(target / 4, 1), reduction="batchmean"
        )
        loss = 0.1 * F.cross_entropy(answer, labels) + 0.9 * 16 * divergence
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def alone(case: Case, method: Distillation) -> Callable[[], None]:
    """The objective and nothing else: its forward and backward pass."""
    lesson, places = case.lesson(method), next(case.places())
    images = lesson.views.cut(case.data, places, 0)
    theirs = lesson.teachers[0](places, 0, images)
    with torch.no_grad():
        (seen,) = lesson._by_teacher(lesson.student(images))
    seen = seen.each(lambda t: t.clone().requires_grad_())
    labels, objective = case.data.labels[places], lesson.objectives[0]

    def step() -> None:
        for tensor in (*seen.tensors(), *objective.parameters()):
            tensor.grad = None
        objective(seen, theirs, labels=labels, places=places).backward()

    return step


_STAGES = ("layer1", "layer2", "layer3")
_PENULTIMATE = "linear"


def peer(case: Case, objective: str) -> Callable[[], None] | None:
    """The bare step with torchdistill's loss; its maps and features come by hooks."""
    criterion = _peer_loss(objective)
    if criterion is None:
        return None
    from torchdistill.core.forward_hook import ForwardHookManager

    student, teacher = case.student().train(), case.teacher
    managers = [ForwardHookManager(case.run.device) for _ in range(2)]
    for manager, network in zip(managers, (student, teacher)):
        for name in _STAGES:
            manager.add_hook(network, name, requires_input=False, requires_output=True)
        manager.add_hook(network, _PENULTIMATE, requires_input=True, requires_output=True)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    places = next(case.places())
    images, labels = case.data.take(places).float() / 255, case.data.labels[places]

    def step() -> None:
        with torch.no_grad():
            teacher(images)
        answer = student(images)
        taken = [manager.pop_io_dict() for manager in managers]
        loss = F.cross_entropy(answer, labels) + criterion(*taken, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _peer_loss(objective: str) -> Any:
    if importlib.util.find_spec("torchdistill") is None:
        return None
    from torchdistill.losses import mid_level

    def at(path: str) -> dict[str, str]:
        return {"io": "output", "path": path}

    logits = {"student_module_path": "linear", "student_module_io": "output"}
    logits |= {"teacher_module_path": "linear", "teacher_module_io": "output"}
    outputs = {"student_output_path": "linear", "teacher_output_path": "linear"}
    last = {"student_output_path": "layer3", "teacher_output_path": "layer3"}
    pairs = {name: {"student": at(name), "teacher": at(name), "weight": 1.0} for name in _STAGES}
    match objective:
        case "kd":
            return mid_level.KDLoss(**logits, temperature=4.0, alpha=0.9)
        case "dist":
            return mid_level.DISTLoss(**logits, beta=1.0, gamma=1.0, tau=4.0)
        case "logit-standardization":
            return mid_level.LogitStdKDLoss(**logits, temperature=2.0, alpha=0.9)
        case "sp":
            return mid_level.SPKDLoss(**last, reduction="batchmean")
        case "rkd":
            # On logits, which is less work: the pooled features have no module of their own.
            return mid_level.RKDLoss(
                **outputs, dist_factor=25.0, angle_factor=50.0, reduction="mean"
            )
        case "pkt":
            return mid_level.PKTLoss(
                student_module_path="linear",
                student_module_io="input",
                teacher_module_path="linear",
                teacher_module_io="input",
            )
        case "attention":
            return mid_level.ATLoss(at_pairs=pairs, mode="code")
    return None


def benchmark(
    *,
    teacher: str = "resnet56",
    student: str = "resnet20",
    batch: int = 64,
    repeats: int = 5,
    objectives: tuple[str, ...] = tuple(OBJECTIVES),
) -> dict[str, Any]:
    """Times of a step with each objective, ours and the peer's, beside the bare one."""
    case = Case(teacher, student, batch=batch)
    with case.run, frozen(case.teacher):
        rows = {BARE: bare(case)}
        for id in objectives:
            method = change(case.method, objective=id, warmup=0.0)
            rows[id] = ours(case, method)
            if id != "none":
                rows[f"alone: {id}"] = alone(case, method)
            if (theirs := peer(case, id)) is not None:
                rows[f"torchdistill: {id}"] = theirs
        on_gpu = case.run.device.type == "cuda"
        times = interleaved(rows, repeats=repeats, on_gpu=on_gpu)
    table = {row["name"]: row for row in rows_of(times, BARE)}
    for id in objectives:
        if id != "none":
            parts = table[BARE]["median_ms"] + table.pop(f"alone: {id}")["median_ms"]
            table[id] |= {"parts_ms": parts, "ratio": table[id]["median_ms"] / parts}
            if theirs := table.get(f"torchdistill: {id}"):
                table[id]["of_peer"] = table[id]["median_ms"] / theirs["median_ms"]
    setting = {"teacher": teacher, "student": student, "batch": batch, "image": [3, 32, 32]}
    return setting | {"limit": LIMIT, "rows": list(table.values())}


def epochs(
    *, teacher: str = "resnet56", student: str = "resnet20", batch: int = 64, repeats: int = 5
) -> dict[str, Any]:
    """Times of an epoch of KD with one cut of each image, by what is remembered."""
    case = Case(teacher, student, batch=batch)
    steps = COUNT // batch
    with case.run, frozen(case.teacher):
        fixed = change(case.method, augmentations=1)
        lessons = {
            ANEW: case.lesson(change(fixed, cache=False)),
            LATER: case.lesson(fixed),
        }
        places = case.places()

        def epoch(lesson: Lesson) -> None:
            for _ in range(steps):
                lesson.step(next(places), epoch=0)

        def first() -> None:
            epoch(case.lesson(fixed))  # one that has asked for nothing yet

        rows = {
            ANEW: lambda: epoch(lessons[ANEW]),
            FIRST: first,
            LATER: lambda: epoch(lessons[LATER]),
        }
        on_gpu = case.run.device.type == "cuda"
        table = rows_of(interleaved(rows, repeats=repeats, on_gpu=on_gpu), ANEW)
    return {"images": COUNT, "batch": batch, "rows": table}


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--teacher", default="resnet56")
    parser.add_argument("--student", default="resnet20")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--objectives", nargs="+", default=list(OBJECTIVES))
    parser.add_argument("--skip-epochs", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report: dict[str, Any] = {"environment": environment(default_device())}
    sizes = {"teacher": options.teacher, "student": options.student, "batch": options.batch}
    result = benchmark(**sizes, repeats=options.repeats, objectives=tuple(options.objectives))
    report["steps"] = result
    title = f"One step, {options.teacher} to {options.student}, batch {options.batch}, 32x32"
    more = {"parts_ms": "its parts", "ratio": "of parts", "of_peer": "of peer"}
    show(console, title, result["rows"], more=more)
    over = [row["name"] for row in result["rows"] if row.get("ratio", 0.0) > LIMIT]
    verdict = f"NOT reached by {', '.join(over)}" if over else "reached by all"
    console.print(f"At most {LIMIT} times the sum of its parts: {verdict}.")
    if not options.skip_epochs:
        report["epochs"] = epochs(**sizes, repeats=options.repeats)
        show(console, f"One epoch of {COUNT} images, KD", report["epochs"]["rows"])
    write(options.json, report)


if __name__ == "__main__":
    main()
