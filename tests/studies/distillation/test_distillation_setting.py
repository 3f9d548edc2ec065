"""What the studies of distillation with data share, on digits."""

from __future__ import annotations

import pytest

from bequest.methods.distillation.kd import Distillation
from bequest.run import Run
from bequest.studies.distillation.setting import Setting, distil


def test_a_part_of_the_test_images_may_do() -> None:
    setting = Setting(
        data="digits",
        teacher="convnet4",
        student="convnet4",
        teacher_epochs=1,
        labelled=50,
        tested=40,
        note="",
    )
    method = Distillation(steps=1, batch_size=10, crop_padding=0, flip=False)
    with Run(device="cpu", precision="fp32") as run:
        metrics = distil(method, setting, run).metrics
    # Of 40 images, each is 2.5 percent.
    for name in ("accuracy", "teacher_accuracy"):
        images = metrics[name] / 2.5
        assert images == pytest.approx(round(images), abs=1e-4)
