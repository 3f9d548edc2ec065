"""What continual methods learn from: labelled images in an order that they cannot choose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bequest.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """Batches of labelled images in the order in which they arrive, cut into stretches.

    A stretch ends where exams are due: at the end of a task, or at any moment that the protocol
    names. Whether a method is told is its own affair; general continual learning is not.

    Shapes:
        images: `(count, channels, height, width)`, uint8.
        labels: `(count,)`, int64, in 0 .. num_classes - 1.
        batches: `(steps, batch)`, int64: places of the images of each batch.
        ends: Steps after which stretches are over, rising; the last is `steps`.
        classes: For each stretch the classes that it brings.

    Raises:
        InputError: When parts do not fit: above all a stream that ends before its last exam, or
            without a class that it announces.
    """

    images: Tensor
    labels: Tensor
    batches: Tensor
    ends: tuple[int, ...]
    classes: tuple[tuple[int, ...], ...]
    num_classes: int

    def __post_init__(self) -> None:
        _check_images(self.images, self.labels, num_classes=self.num_classes)
        steps = len(self.batches)
        if self.batches.dim() != 2 or self.batches.dtype != torch.int64 or not steps:
            raise InputError(
                f"batches are {self.batches.dtype} of {tuple(self.batches.shape)}; int64 places "
                "(steps, batch) with at least one step are needed."
            )
        if int(self.batches.min()) < 0 or int(self.batches.max()) >= len(self.images):
            raise InputError(
                f"batches name places {int(self.batches.min())} to {int(self.batches.max())}, but "
                f"there are {len(self.images)} images."
            )
        if not self.ends or list(self.ends) != sorted({*self.ends}) or self.ends[0] < 1:
            raise InputError(f"ends are {self.ends}; rising numbers of steps from 1 are needed.")
        if self.ends[-1] > steps:
            raise InputError(
                f"The stream ends early: exams are due after {self.ends[-1]} batches, but only "
                f"{steps} arrive. Give it the missing batches, or name earlier exams."
            )
        if self.ends[-1] < steps:
            raise InputError(
                f"{steps - self.ends[-1]} batches arrive after the last exam, at {self.ends[-1]} "
                f"of {steps}: the last of ends must be {steps}."
            )
        self._check_classes()

    def _check_classes(self) -> None:
        if len(self.classes) != len(self.ends):
            raise InputError(f"{len(self.ends)} stretches have {len(self.classes)} class lists.")
        start = 0
        for number, (end, named) in enumerate(zip(self.ends, self.classes)):
            seen = set(self.labels[self.batches[start:end].flatten()].unique().tolist())
            if seen != set(named):
                raise InputError(
                    f"Stretch {number}, batches {start} to {end - 1}, announces classes "
                    f"{sorted(named)} but brings {sorted(seen)}: it ends early, or is cut at the "
                    "wrong step."
                )
            start = end

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def image_size(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images and labels of that step."""
        places = self.batches[step]
        pixels = self.images.permute(0, 2, 3, 1).index_select(0, places).permute(0, 3, 1, 2)
        return pixels, self.labels[places]

    def stretch(self, step: int) -> int:
        """The number of the stretch that the step lies in, from 0."""
        return next(number for number, end in enumerate(self.ends) if step < end)

    def to(self, device: torch.device) -> Stream:
        """The same on a device, images channels last, so that a batch is one gather."""
        images = self.images.to(device).contiguous(memory_format=torch.channels_last)
        return replace(
            self,
            images=images,
            labels=self.labels.to(device),
            batches=self.batches.to(device),
        )

    def mixed(self, rng: torch.Generator) -> Stream:
        """As many batches of the same arrivals in random order: nothing is left to forget.

        What joint training learns from. It has one stretch, since no part of it is a task.
        """
        order = torch.randperm(self.batches.numel(), generator=rng, device=rng.device)
        arrivals = self.batches.flatten()[order.to(self.batches.device)]
        classes = tuple(sorted({label for named in self.classes for label in named}))
        return replace(
            self, batches=arrivals.view_as(self.batches), ends=(len(self),), classes=(classes,)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Exam:
    """Images that a network is asked about whenever exams are due.

    Shapes:
        images: `(count, channels, height, width)`, uint8.
        labels: `(count,)`, int64.
        classes: Those between which a network chooses that is told the task.
        learnt: The stretch after which its task has been learnt for the first time.
    """

    name: str
    images: Tensor
    labels: Tensor
    classes: tuple[int, ...]
    learnt: int

    def __post_init__(self) -> None:
        _check_images(self.images, self.labels, num_classes=1 + max(self.classes, default=-1))
        strange = set(self.labels.unique().tolist()) - set(self.classes)
        if strange:
            raise InputError(
                f"Exam '{self.name}' asks for classes {sorted(strange)}, which are not among its "
                f"classes {sorted(self.classes)}."
            )


def gathered(
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    ends: Sequence[int],
    num_classes: int,
) -> Stream:
    """A stream from an iterable, a loader for example, which is read once, up to the last exam.

    Args:
        batches: Images `(batch, channels, height, width)`, uint8, and labels `(batch,)`; all
            batches of one size.
        ends: Batches after which exams are due.
        num_classes: Classes of the network.

    Raises:
        InputError: When it ends before the last exam, or a batch does not fit.
    """
    images: list[Tensor] = []
    labels: list[Tensor] = []
    wanted = max(ends, default=0)
    for pixels, answers in batches:
        if images and pixels.shape != images[0].shape:
            raise InputError(
                f"Batch {len(images)} is {tuple(pixels.shape)}, those before "
                f"{tuple(images[0].shape)}: batches must be of one size; leave out what does not "
                "fill one."
            )
        images.append(pixels)
        labels.append(answers)
        if len(images) == wanted:
            break
    if not images or len(images) < wanted:
        raise InputError(
            f"The stream ended early, after {len(images)} of {wanted} batches: the last exam is "
            f"due after batch {wanted}. Give it the missing batches, or name earlier exams."
        )
    size = len(images[0])
    all_labels = torch.cat(labels)
    parts = zip((0, *ends), ends)
    return Stream(
        images=torch.cat(images),
        labels=all_labels,
        batches=torch.arange(wanted * size, device=all_labels.device).view(wanted, size),
        ends=tuple(ends),
        classes=tuple(tuple(all_labels[a * size : b * size].unique().tolist()) for a, b in parts),
        num_classes=num_classes,
    )


def _check_images(images: Tensor, labels: Tensor, *, num_classes: int) -> None:
    if images.dim() != 4 or images.dtype != torch.uint8:
        raise InputError(
            f"images are {images.dtype} of {tuple(images.shape)}; uint8 (count, channels, height, "
            "width) are needed."
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1] or not len(labels):
        raise InputError(
            f"{len(images)} images need as many int64 labels, at least one, not {labels.dtype} of "
            f"{tuple(labels.shape)}."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise InputError(
            f"Labels go from {low} to {high}, but there are {num_classes} classes: check the "
            "number of classes."
        )
