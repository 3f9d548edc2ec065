"""SSD-KD's equations by hand, and its special cases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.methods.data_free.fast import Fast
from bequest.methods.data_free.ssd_kd import SSDKD, modulating_weight
from bequest.nn import zoo
from bequest.run import Run

SMALL = {
    "batch_size": 16,
    "synthesis_batch": 32,
    "latent_dim": 8,
    "generator_width": 4,
    "inversion_steps": 2,
    "learning_rate": 0.05,
    "temperature": 4.0,
}


def logits_of(*probabilities: list[float]) -> torch.Tensor:
    return torch.tensor(probabilities).log()


def test_phi_by_hand() -> None:
    logits = logits_of([0.7, 0.2, 0.1], [0.1, 0.5, 0.4])
    counts = torch.tensor([6.0, 2.0, 2.0])
    # (1 - 6/10) (1 - 0.7)^2 and (1 - 2/10) (1 - 0.5)^2.
    assert modulating_weight(logits, counts).tolist() == pytest.approx([0.4 * 0.09, 0.8 * 0.25])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"diversity": False}, 0.3**2),
        ({"difficulty": False}, 0.4),
        ({"gamma": 0.0}, 0.4),
        ({"gamma": 1.0}, 0.4 * 0.3),
        ({"diversity": False, "difficulty": False}, 1.0),
    ],
)
def test_each_factor_can_be_switched_off(options: dict, expected: float) -> None:
    counts = torch.tensor([6.0, 2.0, 2.0])
    phi = modulating_weight(logits_of([0.7, 0.2, 0.1]), counts, **options)
    assert phi.item() == pytest.approx(expected, rel=1e-5)


def test_phi_lies_in_the_unit_interval_and_falls_in_count_and_confidence() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(200, 4, generator=rng)
    phi = modulating_weight(logits, torch.tensor([5.0, 1.0, 0.0, 9.0]))
    assert phi.min() >= 0
    assert phi.max() <= 1
    same = logits_of([0.6, 0.3, 0.1])
    rare, frequent = (modulating_weight(same, torch.tensor([n, 5.0, 5.0])) for n in (1.0, 8.0))
    assert rare > frequent
    counts = torch.tensor([2.0, 2.0, 2.0])
    assert modulating_weight(same, counts) > modulating_weight(logits_of([0.9, 0.05, 0.05]), counts)


def test_an_empty_buffer_counts_no_class() -> None:
    phi = modulating_weight(logits_of([0.5, 0.3, 0.2]), torch.zeros(3))
    assert phi.item() == pytest.approx(0.25)


def test_phi_is_a_constant_for_back_propagation() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    assert not modulating_weight(logits, torch.ones(4)).requires_grad


def networks() -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher, student = (
            zoo.build(name, num_classes=3, in_channels=1) for name in ("convnet8", "convnet4")
        )
        teacher.train()
        for _ in range(3):  # fills the running statistics
            teacher(torch.randn(32, 1, 8, 8))
    return teacher.eval(), student


def fit(method: SSDKD | Fast, **options: object) -> tuple[nn.Module, Run]:
    teacher, student = networks()
    with Run(device="cpu", precision="fp32", **options) as run:
        method.fit(teacher, student, image_size=(1, 8, 8), num_classes=3, run=run)
    return student, run


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_without_correction_and_with_equal_priorities_it_is_uniform_replay_of_a_ring() -> None:
    # alpha 0 makes all priorities equal; then every weight is 1 whatever beta is.
    method = SSDKD(
        **SMALL, buffer_size=60, rounds=3, student_steps=2, alpha=0.0, modulation=False, beta=1.0
    )
    student, _ = fit(method)
    other, _ = fit(replace(method, beta=0.0))
    assert torch.equal(weights(student), weights(other))


def test_before_a_ring_overwrites_it_is_fast() -> None:
    # 50 rounds of 32 fill 1,500 places of 1,600: one image in sixteen is held back.
    shared = {**SMALL, "rounds": 3, "student_steps": 2}
    ring, _ = fit(SSDKD(**shared, buffer_size=1600, modulation=False, priority=False))
    pool, _ = fit(Fast(**shared, warmup_rounds=50))
    assert torch.equal(weights(ring), weights(pool))


def test_the_parts_change_what_is_learnt() -> None:
    method = SSDKD(**SMALL, buffer_size=60, rounds=3, student_steps=2)
    whole, _ = fit(method)
    for change in ({"modulation": False}, {"priority": False}, {"normalize_modulation": True}):
        assert not torch.equal(weights(whole), weights(fit(replace(method, **change))[0]))


def test_the_buffer_is_full_before_the_student_learns_and_time_is_split() -> None:
    _, run = fit(SSDKD(**SMALL, buffer_size=60, rounds=2, student_steps=3))
    assert set(run.meter.flops) == {"warm-up", "inversion", "distillation", "evaluation"}
    phases = [row["phase"] for row in run.metrics.rows if row["phase"] != "record"]
    assert phases == ["warm-up"] * 2 + ["distillation"] * 6
    record = [row for row in run.metrics.rows if row["phase"] == "record"]
    assert {"agreement", "class_entropy", "confidence"} <= set(record[0])
    assert any("effective_size" in row for row in record)


@pytest.mark.parametrize("scale", ["none", "mean", "max"])
def test_weight_scales_run(scale: str) -> None:
    student, _ = fit(SSDKD(**SMALL, buffer_size=60, rounds=1, student_steps=2, weight_scale=scale))
    assert torch.isfinite(weights(student)).all()


def test_a_teacher_without_batch_norm_is_refused() -> None:
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    _, student = networks()
    with Run(device="cpu") as run, pytest.raises(InputError, match="BatchNorm"):
        SSDKD().fit(teacher, student, image_size=(1, 8, 8), num_classes=3, run=run)
