"""Distillation with data: a student that learns from labels and a teacher, with any objective.

Geoffrey Hinton, Oriol Vinyals, Jeff Dean, "Distilling the Knowledge in a Neural Network", NIPS Deep
Learning Workshop 2015, is the default; every other objective of
`bequest.losses.objectives.catalog` is one word away. In: one or more trained networks, another
network, labelled images. Out: that network, trained by

    cross_entropy * CE(student, label) + weight * objective(student, teacher) + kd_weight * KD

with the weights that were published with the objective, unless others are given.

Each epoch cuts each image anew, as place and seed alone decide. The teacher sees the same cut
(`teacher_view` same), the whole image (plain) or a cut of its own (own). Where its view comes again
in later epochs, which the whole image does, and cuts do with `augmentations` above 0, its outputs
are kept, and from then on it is not called at all.

Differs: two-stage objectives (FitNets, AB, FT) are terms of one loss from the first step on, as in
the public comparisons; see their modules. Projectors and other parts that an objective learns
have the student's optimizer, and are thrown away at the end, but for SimKD's projector and head.
Differs: a run has a number of steps; an epoch leaves out what does not fill a batch.
Trap: with several processes, objectives that compare samples of a batch see each process's share,
and CRD's banks are averaged over the processes in each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.distillation import kl_divergence
from bequest.losses.objectives.build import Fitted, Settings, build
from bequest.losses.objectives.catalog import Objective, find
from bequest.memory.epochs import EpochSampler
from bequest.memory.labelled import LabelledImages
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.modes import frozen
from bequest.nn.shared_head import SharedHeadStudent
from bequest.nn.stages import matching_taps, part_of
from bequest.nn.watch import Watch, WatchShared, WatchTeacher
from bequest.ops.outputs import Outputs
from bequest.run import Result, Run
from bequest.run.update import update
from bequest.synthesis.learner import scheduled
from bequest.synthesis.observer import Monitor, observe
from bequest.synthesis.taught import Ask, Taught, Views

_KD_TEMPERATURE = 4.0


@method
class Distillation:
    """Ordinary knowledge distillation on labelled images, with any published objective."""

    objective: Literal[
        "kd",
        "dkd",
        "dist",
        "logit-standardization",
        "fitnets",
        "attention",
        "sp",
        "rkd",
        "cc",
        "vid",
        "pkt",
        "ab",
        "ft",
        "crd",
        "reviewkd",
        "simkd",
        "nst",
        "none",
    ] = "kd"
    """What the student follows; `none` learns from labels alone."""
    weight: NonNegative | None = None
    """Of the objective; None is the published one."""
    cross_entropy: NonNegative | None = None
    """Of the cross-entropy to the labels; None is the published one."""
    temperature: Positive | None = None
    """T of objectives on logits; None is the published one."""
    warmup: Fraction | None = None
    """Share of the run in which the objective's weight grows from 0; None is the published one."""
    kd_weight: NonNegative = 0.0
    """Of plain KD (T = 4) besides another objective; CRD + KD was published with 1."""
    beta: NonNegative = 8.0
    """dkd: of the other classes; published 0.25 to 8 by pair of networks, 2 for ResNet-56 to 20."""
    negatives: Count = 16_384
    """crd: negatives a sample."""
    steps: Count = 187_440
    """Student steps; 240 epochs of 50,000 images, as in the comparisons on CIFAR-100."""
    batch_size: Count = 64
    """Images of a student step; fewer where there are fewer."""
    learning_rate: Positive = 0.05
    """Of the student's SGD."""
    schedule: Literal["steps", "cosine"] = "steps"
    """Learning rate: a tenth at 150, 180 and 210 of 240 parts of the run, or cosine."""
    momentum: Fraction = 0.9
    """Of the student's SGD."""
    weight_decay: NonNegative = 5e-4
    """Of the student's SGD."""
    crop_padding: NonNegativeInt = 4
    """Augmentation: pixels of padding before a random crop."""
    flip: bool = True
    """Augmentation: mirror half of the images."""
    augmentations: NonNegativeInt = 0
    """How many cuts of an image there are, which come again in turn; 0: new ones in each epoch."""
    teacher_view: Literal["same", "plain", "own"] = "same"
    """What the teacher sees: the student's cut, the whole image, or a cut of its own. Objectives
    on maps compare places, which belong together in `same` alone."""
    cache: bool = True
    """Whether the teacher's outputs are kept where its view comes again."""
    cache_megabytes: Positive = 2000.0
    """Most that may be kept; what would take more is not kept."""
    several: Literal["each", "average"] = "each"
    """With several teachers: the mean of the objective over them, or the objective of their mean
    logits, for objectives on logits."""
    student_taps: str = ""
    """Modules of the student whose maps are compared, separated by commas; without them the ends
    of the stages of a resolution that both networks have."""
    teacher_taps: str = ""
    """The same of the teacher, as many."""

    def fit(
        self,
        teacher: nn.Module | Sequence[nn.Module],
        student: nn.Module,
        *,
        images: Tensor,
        labels: Tensor,
        image_size: tuple[int, int, int],
        num_classes: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` in place.

        Args:
            teacher: One or more; take images in [0, 1]; unchanged at the end.
            student: Takes images in [0, 1].
            images: `(count, channels, height, width)`, uint8.
            labels: `(count,)`, int64.
            image_size: `(channels, height, width)`.
            num_classes: Classes of all networks.
            run: How to execute.
            monitor: Figures to report during the run.

        Returns:
            The last student and its figures: those of `monitor`, and `teacher_images`, how many
            images the teachers were asked for. With SimKD the student has the teacher's head.

        Raises:
            InputError: When data, networks, taps or settings do not fit, before any work.
        """
        teachers = [teacher] if isinstance(teacher, nn.Module) else list(teacher)
        data = LabelledImages(
            images, labels, image_size=image_size, num_classes=num_classes, device=run.device
        )
        teachers = [run.place(each) for each in teachers]
        epoch = EpochSampler(len(data), run.device)
        batch = min(self.batch_size, len(data))
        with frozen(*teachers):
            lesson = Lesson(
                teachers,
                run.place(student),
                data,
                self,
                run,
                image_size=image_size,
                num_classes=num_classes,
            )
            state = {"lesson": lesson, "epoch": epoch}
            for step in run.steps(self.steps, name="distillation", state=state):
                if run.due(times=20):
                    observe(lesson.model, None, run, monitor)
                places = epoch.draw(batch, run.stream("order"))
                lesson.step(places, epoch=step // (len(data) // batch))
            figures = observe(lesson.model, None, run, monitor)
        figures["teacher_images"] = float(sum(one.images_asked for one in lesson.teachers))
        return run.result(lesson.deployed(), figures)


class Lesson:
    """Student, teachers, objectives and optimizer: one step on samples by their places."""

    def __init__(
        self,
        teachers: Sequence[nn.Module],
        student: nn.Module,
        data: LabelledImages,
        method: Distillation,
        run: Run,
        *,
        image_size: tuple[int, int, int],
        num_classes: int,
    ) -> None:
        self.row = find(method.objective)
        self.cross_entropy = _or(method.cross_entropy, self.row.cross_entropy)
        self.weight = _or(method.weight, self.row.weight)
        self.warmup = _or(method.warmup, self.row.warmup)
        self.data, self.method, self.run = data, method, run
        self.views = Views.of(method)
        teachers = teachers if method.objective != "none" or method.kd_weight > 0 else []
        _check(method, teachers, self.row)
        if method.objective == "simkd":
            shared = WatchShared(student, teachers[0], image_size=image_size)
            self.student: Watch | WatchShared = shared
            self.taps, asks = [shared.taps], [shared.teacher]
        else:
            self.taps, theirs = _taps(student, teachers, method, self.row, image_size=image_size)
            features = self.row.needs == "features" or self.row.id == "reviewkd"
            union = tuple(dict.fromkeys(name for names in self.taps for name in names))
            self.student = Watch(student, taps=union, features=features)
            asks = [
                WatchTeacher(one, taps=names, features=features)
                for one, names in zip(teachers, theirs)
            ]
        self.model = run.place(self.student.network)
        example = self._example(self.student, num_classes, name="student")
        draws = run.budget.limit(method.steps) * method.batch_size
        examples = [self._example(ask, num_classes, name="teacher") for ask in asks]
        self.teachers = [
            Taught(ask, data, self.views, run, example=one, draws=draws)
            for ask, one in zip(asks, examples)
        ]
        pairs = zip(self._by_teacher(example), examples) if self.row.needs != "nothing" else ()
        self.objectives = nn.ModuleList(self._objective(*pair) for pair in pairs)
        self.model.train()
        run.place(self.objectives)
        trained = [*self.model.parameters(), *self.objectives.parameters()]
        self.optimizer = torch.optim.SGD(
            [p for p in trained if p.requires_grad],
            lr=method.learning_rate,
            momentum=method.momentum,
            weight_decay=method.weight_decay,
        )

    def step(self, places: Tensor, *, epoch: int) -> None:
        """One update on the samples at `places`, the same in all processes."""
        run, m = self.run, self.method
        places = run.share(places)
        labels = self.data.labels[places]
        seed = self.views.seed(epoch)
        images = self.views.cut(self.data, places, seed)
        taught = [teacher(places, seed, images) for teacher in self.teachers]
        with run.autocast():
            # Differences of maps and batches lose too many digits in bf16.
            seen = self.student(images).each(Tensor.float)
        terms: dict[str, Tensor] = {}
        if self.cross_entropy > 0:
            terms["cross_entropy"] = self.cross_entropy * F.cross_entropy(seen.logits, labels)
        if self.weight > 0 and len(self.objectives):
            followed = self._follow(seen, taught, labels, places)
            ramp = min(1.0, run.fraction / self.warmup) if self.warmup > 0 else 1.0
            terms[m.objective.replace("-", "_")] = ramp * self.weight * followed
        if m.kd_weight > 0:
            terms["plain_kd"] = m.kd_weight * _plain_kd(seen.logits, taught)
        loss = torch.stack(list(terms.values())).sum()
        rate = m.learning_rate * scheduled(run.fraction, m.schedule)
        update(run, loss, self.optimizer, self.model, self.objectives, rate=rate)
        run.log(loss=loss, **terms)

    def _follow(
        self, seen: Outputs, taught: list[Outputs], labels: Tensor, places: Tensor
    ) -> Tensor:
        """The objective: its mean over teachers, or that of the teachers' mean."""
        if self.method.several == "average":
            taught = [Outputs(torch.stack([t.logits for t in taught]).mean(0))]
        rng = self.run.stream("objective")
        each = [
            objective(ours, theirs, labels=labels, places=places, rng=rng)
            for objective, ours, theirs in zip(self.objectives, self._by_teacher(seen), taught)
        ]
        return torch.stack(each).mean()

    def _by_teacher(self, seen: Outputs) -> list[Outputs]:
        """The student's outputs with the maps that belong to each teacher's."""
        by_name = dict(zip(self.student.taps, seen.maps))
        return [seen._replace(maps=tuple(by_name[name] for name in names)) for names in self.taps]

    def _objective(self, student: Outputs, teacher: Outputs) -> Fitted:
        m, labels = self.method, self.data.labels
        settings = Settings(
            temperature=m.temperature, beta=m.beta, negatives=m.negatives, seed=self.run.seed
        )
        return build(
            m.objective, student=student, teacher=teacher, labels=labels, settings=settings
        )

    @torch.no_grad()
    def _example(self, ask: Ask, num_classes: int, *, name: str) -> Outputs:
        """The outputs for two images, for their shapes."""
        two = torch.arange(2, device=self.run.device) % len(self.data)
        images = self.views.whole(self.data, two)
        with frozen(self.model), self.run.autocast():
            seen = ask(images)
        if seen.logits.shape[1] != num_classes:
            raise InputError(
                f"The {name} has {seen.logits.shape[1]} classes, the data {num_classes}: they must "
                "be the same."
            )
        return seen

    def deployed(self) -> nn.Module:
        """What is left when the lesson is over."""
        model = self.model
        return model.deployed() if isinstance(model, SharedHeadStudent) else model

    def state_dict(self) -> dict[str, Any]:
        """Student, what objectives learn, and optimizer, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "objectives": self.objectives.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "teachers": [teacher.state_dict() for teacher in self.teachers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.objectives.load_state_dict(state["objectives"])
        self.optimizer.load_state_dict(state["optimizer"])
        for teacher, saved in zip(self.teachers, state["teachers"]):
            teacher.load_state_dict(saved)


def _taps(
    student: nn.Module,
    teachers: Sequence[nn.Module],
    method: Distillation,
    row: Objective,
    *,
    image_size: tuple[int, int, int],
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The student's and each teacher's tapped modules, a pair of tuples for each teacher."""
    if row.needs != "maps":
        return [()] * len(teachers), [()] * len(teachers)
    pairs = [
        matching_taps(
            student,
            teacher,
            image_size=image_size,
            student_taps=_names(method.student_taps),
            teacher_taps=_names(method.teacher_taps),
        )
        for teacher in teachers
    ]
    # What the objective does not take need not be copied and kept.
    ours, theirs = (
        [part_of(names, row.taps) for names in side] for side in zip(*pairs, strict=True)
    )
    return ours, theirs


def _check(method: Distillation, teachers: Sequence[nn.Module], row: Objective) -> None:
    """Refuses settings that contradict each other."""
    if not teachers and (row.needs != "nothing" or method.kd_weight > 0):
        raise InputError("There is no teacher: give one, or the objective 'none'.")
    if len(teachers) > 1 and method.objective == "simkd":
        raise InputError("SimKD takes over the head of one teacher: give one.")
    if method.several == "average" and row.needs not in ("logits", "nothing"):
        raise InputError(
            f"several is 'average', but {row.name} does not compare logits, and nothing else of "
            "several teachers can be averaged: take 'each'."
        )
    if (method.student_taps or method.teacher_taps) and (row.needs != "maps" or row.id == "simkd"):
        raise InputError(f"{row.name} takes no taps: leave student_taps and teacher_taps out.")
    weights = (_or(method.weight, row.weight), _or(method.cross_entropy, row.cross_entropy))
    if not any((*weights, method.kd_weight)):
        raise InputError("All weights are 0: there is nothing to learn.")


def _plain_kd(logits: Tensor, taught: Sequence[Outputs]) -> Tensor:
    each = [kl_divergence(logits, t.logits, temperature=_KD_TEMPERATURE).mean() for t in taught]
    return torch.stack(each).mean()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _or(given: float | None, published: float) -> float:
    return published if given is None else given
