from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.methods.base import change
from bequest.methods.data_free.dafl import DAFL
from bequest.nn import zoo
from bequest.run import Run

# Two samples, three classes; softmax of the first (1/2, 1/4, 1/4), of the second (1/5, 3/5, 1/5).
LOGITS = torch.log(torch.tensor([[2.0, 1.0, 1.0], [1.0, 3.0, 1.0]]))
FEATURES = torch.tensor([[1.0, -2.0], [0.0, 4.0]])
ONE_HOT = (math.log(2) + math.log(5 / 3)) / 2
ACTIVATION = -7 / 4
MEAN = (0.35, 0.425, 0.225)
BALANCE = sum(p * math.log(p) for p in MEAN)


def test_the_terms_of_equations_2_to_4_are_those_computed_by_hand():
    loss, terms = DAFL().generator_loss(LOGITS, FEATURES)
    assert terms["one_hot"].item() == pytest.approx(ONE_HOT, rel=1e-5)
    assert terms["activation"].item() == pytest.approx(ACTIVATION, rel=1e-5)
    assert terms["balance"].item() == pytest.approx(BALANCE, rel=1e-5)
    assert loss.item() == pytest.approx(ONE_HOT + 0.1 * ACTIVATION + 5 * BALANCE, rel=1e-5)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("one_hot_weight", 0.1 * ACTIVATION + 5 * BALANCE),
        ("activation_weight", ONE_HOT + 5 * BALANCE),
        ("balance_weight", ONE_HOT + 0.1 * ACTIVATION),
    ],
)
def test_a_weight_of_zero_removes_its_term_from_the_loss(field, expected):
    loss, _ = change(DAFL(), **{field: 0.0}).generator_loss(LOGITS, FEATURES)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("only", "figure"),
    [
        ("one_hot_weight", lambda logits, _: torch.softmax(logits, 1).amax(1).mean()),
        ("activation_weight", lambda _, features: features.abs().mean()),
        ("balance_weight", lambda logits, _: -torch.softmax(logits, 1).mean(0).amax()),
    ],
    ids=["surer", "more active", "more balanced"],
)
def test_each_term_descends_to_what_it_is_for(only, figure):
    weights = dict.fromkeys(("one_hot_weight", "activation_weight", "balance_weight"), 0.0)
    method = DAFL(**weights | {only: 1.0})
    logits, features = LOGITS.clone().requires_grad_(), FEATURES.clone().requires_grad_()
    before = figure(logits, features).item()
    loss, _ = method.generator_loss(logits, features)
    loss.backward()
    with torch.no_grad():
        after = figure(logits - 0.1 * logits.grad, features - 0.1 * features.grad).item()
    assert after > before


def test_classes_that_a_sure_teacher_rules_out_leave_every_gradient_finite():
    logits = torch.tensor([[500.0, 0.0, -500.0]]).repeat(2, 1).requires_grad_()
    loss, terms = DAFL().generator_loss(logits, FEATURES)
    loss.backward()
    assert terms["balance"].item() == 0.0
    assert logits.grad.isfinite().all()


def tiny(**changes):
    values = dict(steps=6, batch_size=8, latent_dim=6, generator_width=4)
    return DAFL(**values | changes)


def fit(method, teacher, *, seed=0):
    torch.manual_seed(1)
    student = zoo.build("convnet4", num_classes=3, in_channels=1)
    start = [parameter.detach().clone() for parameter in student.parameters()]
    with Run(seed=seed, device="cpu", precision="fp32") as run:
        result = method.fit(teacher, student, image_size=(1, 8, 8), num_classes=3, run=run)
    return result, start, run


def build_teacher():
    torch.manual_seed(0)
    return zoo.build("convnet4", num_classes=3, in_channels=1)


def test_fit_moves_the_student_and_leaves_the_teacher_untouched():
    teacher = build_teacher()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    flags = [module.training for module in teacher.modules()]
    result, start, run = fit(tiny(), teacher)
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert [module.training for module in teacher.modules()] == flags
    assert all(p.grad is None and p.requires_grad for p in teacher.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in teacher.modules())
    assert any(not torch.equal(a, b) for a, b in zip(start, result.model.parameters()))
    assert {"agreement", "class_entropy", "confidence"} <= set(result.metrics)
    logged = {name for row in run.metrics.rows for name in row}
    assert {"one_hot", "activation", "balance", "loss"} <= logged


def test_a_run_repeats_to_the_last_bit_and_depends_on_the_seed():
    weights = [
        torch.cat(
            [p.flatten() for p in fit(tiny(), build_teacher(), seed=seed)[0].model.parameters()]
        )
        for seed in (0, 0, 1)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


class Bare(nn.Module):
    """No BatchNorm; the logits come out of a linear layer, or of a convolution."""

    def __init__(self, *, linear: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 3) if linear else nn.Conv2d(4, 3, 1)

    def forward(self, images):
        features = self.conv(images).relu().mean((2, 3), keepdim=True)
        if isinstance(self.head, nn.Linear):
            return self.head(features.flatten(1))
        return self.head(features).flatten(1)


def test_a_teacher_without_batch_norm_is_accepted():
    result, start, _ = fit(tiny(), Bare(linear=True))
    assert any(not torch.equal(a, b) for a, b in zip(start, result.model.parameters()))


def test_a_teacher_without_a_linear_layer_is_refused():
    with pytest.raises(InputError, match="Linear"):
        fit(tiny(), Bare(linear=False))
