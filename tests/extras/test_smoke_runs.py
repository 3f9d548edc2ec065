"""Every study runs at smoke size, and a timm network is distilled, beside the newest torch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import bequest
from bequest import catalog
from bequest.catalog import Entry
from bequest.execute import Job, execute
from bequest.run import Budget

pytestmark = pytest.mark.extras


@pytest.mark.parametrize("entry", catalog.methods().values(), ids=lambda entry: entry.id)
def test_the_first_arm_of_every_study_runs(entry: Entry, tmp_path: Path) -> None:
    result = execute(Job(method=entry.id, size="smoke"), tmp_path / "run")
    assert result.metrics
    assert all(math.isfinite(value) for value in result.metrics.values())
    assert (tmp_path / "run" / "model.safetensors").stat().st_size > 0


def test_a_timm_network_becomes_a_torchvision_network() -> None:
    from bequest.methods.data_free.fast import Fast

    torch.manual_seed(0)
    teacher = bequest.load("timm:resnet10t", num_classes=4)
    student = bequest.load("torchvision:shufflenet_v2_x0_5", num_classes=4)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    student, result = bequest.distill(
        teacher,
        student,
        image_size=(3, 32, 32),
        num_classes=4,
        mean=[0.5] * 3,
        std=[0.5] * 3,
        method=Fast(
            rounds=2, warmup_rounds=1, student_steps=2, synthesis_batch=16, batch_size=8,
            inversion_steps=2, generator_width=8, latent_dim=16,
        ),
        budget=Budget(steps=4),
        progress=False,
    )  # fmt: skip
    assert 0 <= result.metrics["agreement"] <= 100
    changed = [
        name for name, value in student.state_dict().items() if not torch.equal(value, before[name])
    ]
    assert len(changed) > len(before) // 2
