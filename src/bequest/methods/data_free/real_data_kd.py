"""KD on real data: the upper control of every data-free claim.

Geoffrey Hinton, Oriol Vinyals, Jeff Dean, "Distilling the Knowledge in a Neural Network", 2015,
without the term on labels, so that it differs from data-free methods in the images alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.modes import frozen
from bequest.run import Result, Run
from bequest.synthesis.learner import Learner
from bequest.synthesis.observer import Monitor, observe, predict


@method
class RealDataKD:
    """Distillation on real images, drawn uniformly."""

    steps: Count = 4000
    """Student steps."""
    batch_size: Count = 256
    """Images of a student step."""
    temperature: Positive = 20.0
    """T of the student's loss."""
    learning_rate: Positive = 0.2
    """Of the student's SGD; cosine to a thousandth of it."""
    rate_warm_up: Fraction = 0.0
    """Share of the run in which this rate rises from 0 first (ours; 0 is off)."""
    momentum: Fraction = 0.9
    """Of the student's SGD."""
    weight_decay: NonNegative = 1e-4
    """Of the student's SGD."""
    crop_padding: NonNegativeInt = 4
    """Augmentation: pixels of padding before a random crop."""
    flip: bool = True
    """Augmentation: mirror half of the images."""
    reuse_teacher_logits: bool = False
    """Take the teacher's answer on the whole image for its crops and flips as well: cheaper."""

    def fit(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        images: Tensor,
        image_size: tuple[int, int, int],
        num_classes: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` in place on `images`, uint8 `(count, channels, height, width)`.

        See `SSDKD.fit` for the other arguments.

        Raises:
            InputError: When the images are not of `image_size` or not uint8.
        """
        if tuple(images.shape[1:]) != tuple(image_size) or images.dtype != torch.uint8:
            raise InputError(
                f"images are {images.dtype} of size {tuple(images.shape[1:])}; uint8 of size "
                f"{tuple(image_size)} is needed."
            )
        teacher, student = run.place(teacher), run.place(student).train()
        learner = Learner(teacher, student, self, run)
        with frozen(teacher):
            images = images.to(run.device).contiguous(memory_format=torch.channels_last)
            logits = predict(teacher, images, run)
            for _ in run.steps(self.steps, name="distillation", state={"learner": learner}):
                if run.due(times=20):
                    observe(student, None, run, monitor)
                chosen = torch.randint(
                    len(images), (self.batch_size,), generator=run.rng, device=run.device
                )
                learner.step(images[chosen], logits=logits[chosen])
        return run.result(student, observe(student, None, run, monitor))
