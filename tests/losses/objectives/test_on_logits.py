"""Objectives on logits: loops over samples and classes say what they should give."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.losses.distillation import kl_divergence
from bequest.losses.objectives.dist import dist
from bequest.losses.objectives.dkd import decoupled, dkd
from bequest.losses.objectives.standardization import standardize, standardized_kd

LABELS = torch.tensor([0, 2, 1, 1, 3, 0])


@pytest.fixture
def logits() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn((2, 6, 4), generator=rng)
    return student.requires_grad_(), teacher.requires_grad_()


def softmax(values: list[float], temperature: float) -> list[float]:
    powers = [math.exp(v / temperature) for v in values]
    return [p / sum(powers) for p in powers]


def test_dkd_is_what_a_loop_gives(logits: tuple[Tensor, Tensor]) -> None:
    alpha, beta, temperature = 0.7, 3.0, 2.5
    losses = []
    for student, teacher, label in zip(*(x.tolist() for x in logits), LABELS.tolist()):
        p, q = softmax(teacher, temperature), softmax(student, temperature)
        target = p[label] * math.log(p[label] / q[label])
        target += (1 - p[label]) * math.log((1 - p[label]) / (1 - q[label]))
        rest = [i for i in range(4) if i != label]
        others = sum(
            p[i] / (1 - p[label]) * math.log(p[i] / (1 - p[label]) * (1 - q[label]) / q[i])
            for i in rest
        )
        losses.append(temperature**2 * (alpha * target + beta * others))
    given = dkd(*logits, LABELS, alpha=alpha, beta=beta, temperature=temperature)
    assert given.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_dkd_with_the_teachers_own_weights_is_kd(logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    target, others = decoupled(student, teacher, LABELS, temperature=4.0)
    sure = torch.softmax(teacher / 4, dim=1)[torch.arange(6), LABELS]
    kd = kl_divergence(student, teacher, temperature=4.0)
    assert torch.allclose(16 * (target + (1 - sure) * others), kd, rtol=1e-4, atol=1e-6)


def test_dkd_is_finite_for_networks_that_are_very_sure() -> None:
    student = torch.tensor([[200.0, -100.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[-50.0, 150.0, -300.0]])
    loss = dkd(student, teacher, torch.tensor([0]), temperature=1.0)
    loss.backward()
    assert loss.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_dist_is_what_a_loop_gives(logits: tuple[Tensor, Tensor]) -> None:
    def pearson(a: list[float], b: list[float]) -> float:
        means = sum(a) / len(a), sum(b) / len(b)
        a, b = [x - means[0] for x in a], [x - means[1] for x in b]
        product = sum(x * y for x, y in zip(a, b))
        return product / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    rows = [[softmax(row, 4.0) for row in x.tolist()] for x in logits]
    inter = sum(1 - pearson(a, b) for a, b in zip(*rows)) / 6
    intra = sum(1 - pearson(a, b) for a, b in zip(*(list(zip(*r)) for r in rows))) / 4
    given = dist(*logits, inter=2.0, intra=0.5)
    assert given.item() == pytest.approx(16 * (2.0 * inter + 0.5 * intra), rel=1e-4)


def test_dist_is_zero_for_equal_answers(logits: tuple[Tensor, Tensor]) -> None:
    assert dist(logits[1] + 3.0, logits[1]).item() == pytest.approx(0, abs=1e-5)


def test_standardised_logits_have_no_shift_and_no_scale(logits: tuple[Tensor, Tensor]) -> None:
    z = standardize(logits[0])
    assert torch.allclose(z.mean(1), torch.zeros(6), atol=1e-6)
    assert torch.allclose(z.square().mean(1), torch.ones(6), atol=1e-5)
    changed = standardized_kd(5 * logits[0] - 2, logits[1])
    assert torch.allclose(changed, standardized_kd(*logits), rtol=1e-4)
    assert standardized_kd(0.1 * logits[1] + 7, logits[1]).item() == pytest.approx(0, abs=1e-6)


def test_standardised_kd_is_kd_of_standardised_logits(logits: tuple[Tensor, Tensor]) -> None:
    by_hand = []
    for student, teacher in zip(*(x.tolist() for x in logits)):
        pair = []
        for row in (student, teacher):
            mean = sum(row) / 4
            deviation = math.sqrt(sum((v - mean) ** 2 for v in row) / 4)
            pair.append(softmax([(v - mean) / deviation for v in row], 2.0))
        by_hand.append(4 * sum(t * math.log(t / s) for s, t in zip(*pair)))
    assert standardized_kd(*logits).item() == pytest.approx(sum(by_hand) / 6, rel=1e-5)


@pytest.mark.parametrize(
    "loss", [lambda s, t: dkd(s, t, LABELS), dist, standardized_kd], ids=["dkd", "dist", "zscore"]
)
def test_gradients_reach_the_student_alone(loss, logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


@pytest.mark.parametrize(
    "loss", [lambda s, t: dkd(s, t, LABELS), dist, standardized_kd], ids=["dkd", "dist", "zscore"]
)
def test_other_classes_are_refused_with_both_shapes(loss) -> None:
    with pytest.raises(InputError, match=r"\(6, 4\).*\(6, 5\)"):
        loss(torch.zeros(6, 4), torch.zeros(6, 5))
