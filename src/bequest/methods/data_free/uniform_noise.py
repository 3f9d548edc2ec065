"""Uniform noise: the lower control of every data-free claim.

The student learns the teacher's answers to images whose pixels are independent and uniform in
[0, 1]. What a method gains over this control it gains by its images.
"""

from __future__ import annotations

import torch
from torch import nn

from bequest.methods.base import Count, Fraction, NonNegative, NonNegativeInt, Positive, method
from bequest.nn.modes import frozen
from bequest.run import Result, Run
from bequest.synthesis.learner import Learner
from bequest.synthesis.observer import Monitor, observe


@method
class UniformNoise:
    """Distillation on noise images, fresh at each step."""

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
    crop_padding: NonNegativeInt = 0
    """Augmentation; noise needs none."""
    flip: bool = False
    """Augmentation; noise needs none."""
    reuse_teacher_logits: bool = False
    """No image comes twice, so nothing can be reused."""

    def fit(
        self,
        teacher: nn.Module,
        student: nn.Module,
        *,
        image_size: tuple[int, int, int],
        num_classes: int,
        run: Run,
        monitor: Monitor | None = None,
    ) -> Result:
        """Trains `student` in place on noise. See `SSDKD.fit` for the arguments."""
        teacher, student = run.place(teacher), run.place(student).train()
        learner = Learner(teacher, student, self, run)
        with frozen(teacher):
            for _ in run.steps(self.steps, name="distillation", state={"learner": learner}):
                if run.due(times=20):
                    observe(student, None, run, monitor)
                shape = (self.batch_size, *image_size)
                learner.step(torch.rand(shape, generator=run.rng, device=run.device))
        return run.result(student, observe(student, None, run, monitor))
