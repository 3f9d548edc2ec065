"""The usual protocols of continual learning, made of anybody's images.

Class-incremental and task-incremental streams are one and the same: the difference is whether a
network is told the task at the exam, which the examiner reports side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.memory.replay import to_bytes
from bequest.memory.stream import Exam, Stream
from bequest.ops.rotations import turned

Tasks = Sequence[Sequence[int]]
"""The classes of each task, in the order of the tasks."""


def split_classes(classes: Sequence[int], *, per_task: int) -> tuple[tuple[int, ...], ...]:
    """Tasks of so many classes in the given order; the last one takes what is left.

    Example:
        >>> split_classes(range(5), per_task=2)
        ((0, 1), (2, 3), (4,))
    """
    if per_task < 1 or not classes:
        raise InputError(f"{len(classes)} classes, {per_task} a task: at least 1 of both.")
    return tuple(
        tuple(classes[first : first + per_task]) for first in range(0, len(classes), per_task)
    )


def class_incremental(
    images: Tensor,
    labels: Tensor,
    *,
    tasks: Tasks,
    num_classes: int,
    batch_size: int,
    rng: torch.Generator,
    epochs: int = 1,
) -> Stream:
    """One task after the other, each with classes of its own, several epochs each.

    An epoch shows a task's images in random order and leaves out what does not fill a batch.

    Args:
        images: `(count, channels, height, width)`, uint8; those of other classes are not shown.
        labels: `(count,)`, int64.
        tasks: The classes of each task, no class twice.
        num_classes: Classes of the network.
        batch_size: Images a step.
        rng: Decides the order; on the device of the images.
        epochs: How often a task's images come.

    Raises:
        InputError: For a task that ends before its first batch, or classes that come twice.
    """
    named = [label for task in tasks for label in task]
    if len(named) != len(set(named)) or not named:
        raise InputError(f"tasks are {list(map(list, tasks))}: each class belongs to one task.")
    places = [
        torch.isin(labels, torch.tensor(task, device=labels.device)).nonzero().flatten()
        for task in tasks
    ]
    return _one_after_another(
        images,
        labels,
        places,
        classes=tuple(map(tuple, tasks)),
        num_classes=num_classes,
        batch_size=batch_size,
        rng=rng,
        epochs=epochs,
    )


def domain_incremental(
    domains: Sequence[tuple[Tensor, Tensor]],
    *,
    num_classes: int,
    batch_size: int,
    rng: torch.Generator,
    epochs: int = 1,
) -> Stream:
    """One domain after the other, all with the same classes.

    Args:
        domains: Images, uint8, and labels of each; images of one size.
        num_classes: Classes of the network.
        batch_size: Images a step.
        rng: Decides the order; on the device of the images.
        epochs: How often a domain's images come.

    Raises:
        InputError: For a domain that ends before its first batch.
    """
    lengths = [len(labels) for _, labels in domains]
    if not lengths:
        raise InputError("There is no domain: give images and labels of at least one.")
    labels = torch.cat([each for _, each in domains])
    places = torch.arange(sum(lengths), device=labels.device).split(lengths)
    return _one_after_another(
        torch.cat([each for each, _ in domains]),
        labels,
        list(places),
        classes=tuple(tuple(own.unique().tolist()) for _, own in domains),
        num_classes=num_classes,
        batch_size=batch_size,
        rng=rng,
        epochs=epochs,
    )


def rotating_pairs(
    images: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    batch_size: int,
    rng: torch.Generator,
    rounds: int = 3,
) -> Stream:
    """A general stream like MNIST-360: two neighbouring classes at a time, which turn.

    Buzzega et al., "Dark Experience for General Continual Learning", NeurIPS 2020, section 4: the
    pairs (0, 1), (1, 2), .. (last, 0) come `rounds` times. Each image is shown once. Those of a
    class turn by one full circle from their first to their last, from 60 (class - 1) degrees on.

    Differs: within a pair both classes come in equal proportion from its first batch to its last,
    and what does not fill a batch is left out.

    Args:
        images: `(count, channels, side, side)`, uint8; those of classes from `num_classes` on are
            not shown: of MNIST, 9 goes, since it is a 6 upside down.
        labels: `(count,)`, int64.
        num_classes: Classes that take part, at least 3.
        batch_size: Images a step.
        rng: Decides which image comes when; on the device of the images.
        rounds: How often each pair comes.

    Raises:
        InputError: For fewer than 3 classes, or a class whose images don't suffice for all rounds.
    """
    if num_classes < 3 or rounds < 1:
        raise InputError(f"{num_classes} classes, {rounds} rounds: at least 3 and 1 are needed.")
    images, labels = images[labels < num_classes], labels[labels < num_classes]
    parts: list[list[Tensor]] = []
    degrees = torch.zeros(len(labels), device=labels.device)
    for label in range(num_classes):
        places = _shuffled((labels == label).nonzero().flatten(), rng)
        if len(places) < rounds * batch_size:
            raise InputError(
                f"Class {label} ends early: {len(places)} images do not fill its half of "
                f"{2 * rounds} batches of {batch_size}. Give more images, or fewer rounds."
            )
        circle = torch.arange(len(places), device=labels.device) * 360 / len(places)
        degrees[places] = 60 * (label - 1) + circle
        parts.append(list(places.tensor_split(2 * rounds)))
    batches: list[Tensor] = []
    ends: list[int] = []
    pairs: list[tuple[int, ...]] = []
    for number in range(rounds * num_classes):
        pair = (number % num_classes, (number + 1) % num_classes)
        one, two = (parts[label].pop(0) for label in pair)
        moments = [(torch.arange(len(each)) + 0.5) / len(each) for each in (one, two)]
        arrivals = torch.cat((one, two))[torch.cat(moments).argsort(stable=True)]
        steps = len(arrivals) // batch_size
        batches.append(arrivals[: steps * batch_size].view(steps, batch_size))
        ends.append(steps + (ends[-1] if ends else 0))
        pairs.append(tuple(sorted(pair)))
    return Stream(
        images=_turned(images, degrees),
        labels=labels,
        batches=torch.cat(batches),
        ends=tuple(ends),
        classes=tuple(pairs),
        num_classes=num_classes,
    )


def exams_by_task(images: Tensor, labels: Tensor, *, tasks: Tasks) -> list[Exam]:
    """An exam for each task of a class-incremental stream, on its classes."""
    exams = []
    for number, task in enumerate(tasks):
        of_task = torch.isin(labels, torch.tensor(task, device=labels.device))
        exams.append(
            Exam(
                name=", ".join(map(str, task)),
                images=images[of_task],
                labels=labels[of_task],
                classes=tuple(task),
                learnt=number,
            )
        )
    return exams


def exams_all_round(images: Tensor, labels: Tensor, *, num_classes: int) -> list[Exam]:
    """An exam for each class of `rotating_pairs`, its images evenly around the circle.

    A network always chooses among all classes there.
    """
    exams = []
    for label in range(num_classes):
        of_class = images[labels == label]
        degrees = torch.arange(len(of_class), device=images.device) * 360 / max(len(of_class), 1)
        exams.append(
            Exam(
                name=str(label),
                images=_turned(of_class, degrees),
                labels=labels[labels == label],
                classes=tuple(range(num_classes)),
                learnt=max(label - 1, 0),
            )
        )
    return exams


def turned_bytes(images: Tensor, degrees: float) -> Tensor:
    """All uint8 images turned counter-clockwise by one angle: a domain of rotated images."""
    return _turned(images, torch.full((len(images),), degrees, device=images.device))


def _one_after_another(
    images: Tensor,
    labels: Tensor,
    places: Sequence[Tensor],
    *,
    classes: tuple[tuple[int, ...], ...],
    num_classes: int,
    batch_size: int,
    rng: torch.Generator,
    epochs: int,
) -> Stream:
    if batch_size < 1 or epochs < 1:
        raise InputError(f"batch_size {batch_size}, epochs {epochs}: both must be at least 1.")
    batches: list[Tensor] = []
    ends: list[int] = []
    for number, own in enumerate(places):
        steps = len(own) // batch_size
        if not steps:
            raise InputError(
                f"The stream ends early: task {number} has {len(own)} images, fewer than one batch "
                f"of {batch_size}. Give more images, or smaller batches."
            )
        for _ in range(epochs):
            shown = _shuffled(own, rng)[: steps * batch_size]
            batches.append(shown.view(steps, batch_size))
        ends.append(steps * epochs + (ends[-1] if ends else 0))
    return Stream(
        images=images,
        labels=labels,
        batches=torch.cat(batches),
        ends=tuple(ends),
        classes=classes,
        num_classes=num_classes,
    )


def _shuffled(places: Tensor, rng: torch.Generator) -> Tensor:
    return places[torch.randperm(len(places), generator=rng, device=rng.device)]


def _turned(images: Tensor, degrees: Tensor, *, block: int = 1000) -> Tensor:
    """uint8 images, each turned by its own angle, in blocks that fit anywhere."""
    parts = zip(images.split(block), degrees.split(block))
    return torch.cat([to_bytes(turned(part.float() / 255, angle)) for part, angle in parts])
