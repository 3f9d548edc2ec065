from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.methods.base import change
from bequest.methods.data_free.dfq import DFQ, instance_entropy
from bequest.nn import zoo
from bequest.run import Run

# Softmax of the first (1/2, 1/4, 1/4), of the second (1/5, 3/5, 1/5); the student's is uniform.
LOGITS = torch.log(torch.tensor([[2.0, 1.0, 1.0], [1.0, 3.0, 1.0]]))
ENTROPIES = [1.5 * math.log(2), -(0.4 * math.log(0.2) + 0.6 * math.log(0.6))]
INSTANCE = sum(ENTROPIES) / 2
BALANCE = sum(p * math.log(p) for p in (0.35, 0.425, 0.225))
DIVERGENCE = math.log(3) - INSTANCE  # KL(p || uniform) = log 3 - H(p)
STATISTICS = 7.0
TERMS = {
    "adversarial_weight": -DIVERGENCE,
    "bn_weight": STATISTICS,
    "instance_weight": INSTANCE,
    "balance_weight": BALANCE,
}
WEIGHTS = {
    "adversarial_weight": 1.0,
    "bn_weight": 0.5,
    "instance_weight": 0.25,
    "balance_weight": 2.0,
}


def loss_of(method):
    return method.generator_loss(
        LOGITS, statistics=torch.tensor(STATISTICS), student_logits=torch.zeros(2, 3)
    )


def test_entropies_are_those_computed_by_hand_and_finite_for_a_sure_network():
    assert instance_entropy(LOGITS).tolist() == pytest.approx(ENTROPIES, rel=1e-5)
    sure = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    entropy = instance_entropy(sure)
    entropy.sum().backward()
    assert entropy.item() == 0.0
    assert sure.grad.isfinite().all()


def test_the_loss_of_the_generator_is_that_computed_by_hand():
    loss, terms = loss_of(DFQ(**WEIGHTS))
    assert terms["adversarial"].item() == pytest.approx(-DIVERGENCE, rel=1e-5)
    assert terms["instance"].item() == pytest.approx(INSTANCE, rel=1e-5)
    assert terms["balance"].item() == pytest.approx(BALANCE, rel=1e-5)
    expected = sum(WEIGHTS[name] * TERMS[name] for name in TERMS)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", TERMS)
def test_a_weight_of_zero_removes_its_term_from_the_loss(name):
    loss, _ = loss_of(change(DFQ(**WEIGHTS), **{name: 0.0}))
    expected = sum(WEIGHTS[other] * TERMS[other] for other in TERMS if other != name)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_adversarial_term_climbs_the_divergence():
    method = DFQ(bn_weight=0.0, instance_weight=0.0, balance_weight=0.0)
    student = torch.zeros(2, 3, requires_grad=True)
    loss, _ = method.generator_loss(LOGITS, statistics=None, student_logits=student)
    loss.backward()
    with torch.no_grad():
        further, _ = method.generator_loss(
            LOGITS, statistics=None, student_logits=student - 0.1 * student.grad
        )
    assert -further.item() > DIVERGENCE


def tiny(**changes):
    values = dict(
        warmup_steps=2, rounds=3, student_steps=2, batch_size=8, latent_dim=6, generator_width=4
    )
    return DFQ(**values | changes)


def build_teacher():
    torch.manual_seed(0)
    return zoo.build("convnet4", num_classes=3, in_channels=1)


def fit(method, teacher):
    torch.manual_seed(1)
    student = zoo.build("convnet4", num_classes=3, in_channels=1)
    start = [parameter.detach().clone() for parameter in student.parameters()]
    with Run(device="cpu", precision="fp32") as run:
        result = method.fit(teacher, student, image_size=(1, 8, 8), num_classes=3, run=run)
    moved = any(not torch.equal(a, b) for a, b in zip(start, result.model.parameters()))
    return result, moved, run.metrics.rows


def test_fit_moves_the_student_and_leaves_the_teacher_untouched():
    teacher = build_teacher()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    result, moved, rows = fit(tiny(), teacher)
    assert moved
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None and p.requires_grad for p in teacher.parameters())
    assert not any("forward" in vars(module) for module in teacher.modules())
    assert {"agreement", "class_entropy", "confidence"} <= set(result.metrics)
    warm = [row for row in rows if row["phase"] == "warm-up"]
    assert warm
    assert all("bn" in row and "adversarial" not in row and "loss" not in row for row in warm)
    later = [row for row in rows if row["phase"] == "distillation"]
    assert all({"bn", "instance", "balance", "adversarial", "loss"} <= set(row) for row in later)


@pytest.mark.parametrize(
    ("field", "term"), [("bn_weight", "bn"), ("adversarial_weight", "adversarial")]
)
def test_a_term_that_is_off_is_not_even_computed(field, term):
    _, moved, rows = fit(tiny(**{field: 0.0}), build_teacher())
    assert moved
    assert not any(term in row for row in rows)


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.conv(images).relu().mean((2, 3)))


def test_a_teacher_without_batch_norm_is_refused_unless_its_term_is_off():
    with pytest.raises(InputError, match="BatchNorm"):
        fit(tiny(), Bare())
    assert fit(tiny(bn_weight=0.0), Bare())[1]
