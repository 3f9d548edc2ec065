from __future__ import annotations

import pytest
import torch
from torch import nn

from bequest.methods.data_free.uniform_noise import UniformNoise
from bequest.run import Run
from bequest.synthesis.learner import Learner, LearnerSettings, cosine, rising, scheduled


def test_the_rate_rises_in_a_line_and_stays() -> None:
    assert rising(0.0, 0.1) == pytest.approx(1e-3)
    assert rising(0.05, 0.1) == pytest.approx(0.5005)
    assert rising(0.1, 0.1) == rising(0.7, 0.1) == 1.0
    assert rising(0.0, 0.0) == 1.0


def test_a_method_without_the_field_has_no_warm_up() -> None:
    class Old:
        temperature, learning_rate, momentum, weight_decay = 1.0, 0.1, 0.9, 0.0
        crop_padding, flip, reuse_teacher_logits = 0, False, False

    assert LearnerSettings.of(Old()).rate_warm_up == 0.0
    assert LearnerSettings.of(UniformNoise(rate_warm_up=0.2)).rate_warm_up == 0.2


def test_the_student_learns_at_the_product_of_both() -> None:
    teacher, student = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    method = UniformNoise(learning_rate=0.2, rate_warm_up=0.5, steps=4)
    with Run(seed=0, device="cpu", progress=False) as run:
        learner, rates = Learner(teacher.eval(), student, method, run), []
        for _ in run.steps(method.steps, name="distillation", state={"learner": learner}):
            learner.step(torch.rand(2, 1, 2, 2, generator=run.rng))
            rates.append(learner.optimizer.param_groups[0]["lr"])
    expected = [0.2 * rising(i / 4, 0.5) * cosine(i / 4) for i in range(4)]
    assert rates == pytest.approx(expected)


def test_rates_fall_at_150_180_and_210_or_along_a_cosine() -> None:
    steps = [scheduled(epoch / 240, "steps") for epoch in (0, 149, 150, 180, 210, 239)]
    assert steps == pytest.approx([1, 1, 0.1, 0.01, 1e-3, 1e-3])
    assert scheduled(0.5, "cosine") == cosine(0.5) == pytest.approx(0.5005)
