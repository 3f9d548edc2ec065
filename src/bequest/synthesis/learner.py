"""The student's side of data-free distillation: one step on one batch of synthetic images."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.losses.distillation import kl_divergence, per_sample
from bequest.memory.replay import to_floats
from bequest.ops.augment import random_crop_flip
from bequest.run import Run
from bequest.run.update import update


@dataclass(frozen=True, kw_only=True)
class LearnerSettings:
    """How a student learns; every data-free method has fields of these names.

    What has a default here may be missing there.
    """

    temperature: float
    learning_rate: float
    momentum: float
    weight_decay: float
    crop_padding: int
    flip: bool
    reuse_teacher_logits: bool
    rate_warm_up: float = 0.0

    @classmethod
    def of(cls, method: Any) -> LearnerSettings:
        """The settings out of a method."""
        names = [f.name for f in fields(cls) if hasattr(method, f.name) or f.default is MISSING]
        return cls(**{name: getattr(method, name) for name in names})


class Learner:
    """SGD on `T^2 KL(teacher || student)`, cosine learning rate over the run, augmentation.

    The rate rises over the first `rate_warm_up` of the run, where the settings say so.

    Of networks that answer for each pixel, a sample's divergence is the mean over its pixels.

    Args:
        teacher: On the run's device, in eval mode; takes images in [0, 1].
        student: On the run's device, in training mode.
        method: Has the fields of `LearnerSettings`.
        run: Randomness, precision, processes.
    """

    def __init__(self, teacher: nn.Module, student: nn.Module, method: Any, run: Run) -> None:
        settings = LearnerSettings.of(method)
        self.teacher, self.student, self.settings, self.run = teacher, student, settings, run
        self.optimizer = torch.optim.SGD(
            student.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        self._augments = settings.crop_padding > 0 or settings.flip
        self._reuses = settings.reuse_teacher_logits or not self._augments

    def step(
        self, images: Tensor, *, logits: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """One update of the student.

        Args:
            images: `(batch, channels, height, width)`, uint8 or in [0, 1]; the same in all
                processes, each of which trains on its share.
            logits: The teacher's on these images `(batch, classes)`, or of each pixel, `(batch,
                classes, height, width)`, where they are stored; used only where augmentation
                leaves them right, or where the settings say so.
            weight: Per-sample weight of the loss `(batch,)`; None weighs all alike.

        Returns:
            `KL(teacher || student)` at temperature 1 of each sample, before the update, `(batch,)`.

        Raises:
            InputError: Where settings ask for stored answers to pixels that augmentation moves.
        """
        run, s = self.run, self.settings
        if logits is not None and logits.dim() > 2 and self._augments and self._reuses:
            raise InputError(
                "the teacher's answers belong to pixels, which crops and flips move: set "
                "reuse_teacher_logits to False, or crop_padding to 0 and flip to False."
            )
        if self._augments:
            images = random_crop_flip(images, run.rng, padding=s.crop_padding, flip=s.flip)
        images = run.share(images)
        images = to_floats(images) if images.dtype == torch.uint8 else images
        with run.autocast():
            if logits is not None and self._reuses:
                logits = run.share(logits)
            else:
                with torch.no_grad():
                    logits = self.teacher(images)
            answer = self.student(images)
        divergence = per_sample(kl_divergence(answer, logits, temperature=s.temperature))
        loss = (divergence if weight is None else run.share(weight) * divergence).mean()
        rate = s.learning_rate * rising(run.fraction, s.rate_warm_up) * cosine(run.fraction)
        update(run, loss, self.optimizer, self.student, rate=rate)
        run.log(loss=loss)
        return run.gather(per_sample(kl_divergence(answer.detach(), logits)))

    def state_dict(self) -> dict[str, Any]:
        """Student and optimizer, for a checkpoint."""
        return {"student": self.student.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])


def rising(fraction: float, warm_up: float, *, floor: float = 1e-3) -> float:
    """From `floor` at `fraction` 0 in a straight line to 1 at `warm_up`; 1 from there on."""
    return 1.0 if fraction >= warm_up else floor + (1 - floor) * fraction / warm_up


def cosine(fraction: float, *, floor: float = 1e-3) -> float:
    """From 1 at `fraction` 0 down to `floor` at 1, along half a cosine."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * fraction)) / 2


def warm_cosine(fraction: float, warm_up: float) -> float:
    """From 0 in a straight line to 1 at `warm_up`, then along half a cosine to 0 at 1 (MAE)."""
    if fraction < warm_up:
        return fraction / warm_up
    return 0.5 * (1 + math.cos(math.pi * (fraction - warm_up) / max(1 - warm_up, 1e-9)))


def scheduled(fraction: float, schedule: Literal["steps", "cosine"]) -> float:
    """The factor of a learning rate at that share of a run: `stepped` or `cosine`."""
    return cosine(fraction) if schedule == "cosine" else stepped(fraction)


def stepped(fraction: float) -> float:
    """A tenth at 150, 180 and 210 of 240 parts of the run, as in comparisons on CIFAR-100."""
    return 0.1 ** sum(fraction >= epoch / 240 for epoch in (150, 180, 210))
