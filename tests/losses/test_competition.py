"""Jensen-Shannon divergence and the competition term, against plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.losses.competition import competition_loss, jensen_shannon


def logits(*, seed, count=5, classes=4):
    return 3 * torch.randn(count, classes, generator=torch.Generator().manual_seed(seed))


def by_loops(first, second, temperature):
    values = []
    for row_p, row_q in zip(first.tolist(), second.tolist()):
        p, q = ([math.exp(v / temperature) for v in row] for row in (row_p, row_q))
        p, q = [v / sum(p) for v in p], [v / sum(q) for v in q]
        m = [(a + b) / 2 for a, b in zip(p, q)]
        kl_p = sum(a * math.log(a / c) for a, c in zip(p, m))
        kl_q = sum(b * math.log(b / c) for b, c in zip(q, m))
        values.append((kl_p + kl_q) / 2)
    return values


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_it_is_the_loop_over_classes_and_symmetric(temperature):
    first, second = logits(seed=0), logits(seed=1)
    ours = jensen_shannon(first, second, temperature=temperature)
    assert ours.tolist() == pytest.approx(by_loops(first, second, temperature), rel=1e-4)
    assert torch.allclose(ours, jensen_shannon(second, first, temperature=temperature), atol=1e-6)


def test_it_goes_from_zero_to_log_two():
    same = logits(seed=0)
    assert jensen_shannon(same, same).abs().max() < 1e-6
    apart = torch.tensor([[1e4, -1e4]]), torch.tensor([[-1e4, 1e4]])
    assert jensen_shannon(*apart).item() == pytest.approx(math.log(2), rel=1e-5)


def test_the_competition_is_one_minus_the_mean_divergence():
    student, teacher = logits(seed=0), logits(seed=1)
    values = by_loops(student, teacher, 3.0)
    expected = 1 - sum(values) / len(values)
    assert competition_loss(student, teacher).item() == pytest.approx(expected, rel=1e-4)


def test_descending_the_competition_drives_student_and_teacher_apart():
    student = logits(seed=0).requires_grad_()
    teacher = (student.detach() + 0.3 * logits(seed=1)).requires_grad_()
    before = jensen_shannon(student, teacher).mean()
    competition_loss(student, teacher).backward()
    assert torch.isfinite(student.grad).all()
    after = jensen_shannon(student - student.grad, teacher - teacher.grad).mean()
    assert after > before


def test_the_gradient_is_finite_where_a_probability_underflows():
    student = torch.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
    competition_loss(student, torch.tensor([[-300.0, 300.0, 0.0]]), temperature=1.0).backward()
    assert torch.isfinite(student.grad).all()
