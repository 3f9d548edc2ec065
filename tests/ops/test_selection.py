"""Dynamic selection, by hand and against a loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.ops.selection import class_thresholds, dynamic_selection


def logits_of(*rows: list[float]) -> Tensor:
    return torch.tensor(rows).log()


def random_logits(count: int = 300, classes: int = 6) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    teacher = 3 * torch.randn(count, classes, generator=rng) + torch.arange(classes) / 3
    return teacher, 2 * torch.randn(count, classes, generator=rng)


def test_thresholds_by_hand() -> None:
    # a = 1, 1/2, 0: tau, tau (1/2) / (3/2), 0.
    thresholds = class_thresholds(torch.tensor([8, 4, 0]), 0.9)
    assert thresholds.tolist() == pytest.approx([0.9, 0.3, 0.0])
    assert class_thresholds(torch.tensor([0, 0]), 0.9).tolist() == [0.0, 0.0]


def test_selection_by_hand() -> None:
    logits = logits_of([0.97, 0.03], [0.9, 0.1], [0.6, 0.4], [0.35, 0.65])
    chosen = dynamic_selection(logits, torch.zeros(4, 2), trust=1.0, threshold=0.95)
    assert chosen.counts.tolist() == [3, 1]
    # 0.95 for the class of three; a = 1/3 gives 0.95 / 5 for the other.
    assert chosen.thresholds.tolist() == pytest.approx([0.95, 0.19])
    assert chosen.labels.tolist() == [0, 0, 0, 1]
    assert chosen.mask.tolist() == [True, False, False, True]


@pytest.mark.parametrize("trust", [0.0, 0.4, 1.0])
def test_against_a_loop(trust: float) -> None:
    teacher, student = random_logits()
    chosen = dynamic_selection(teacher, student, trust=trust, threshold=0.8)
    answers = []
    for z_t, z_s in zip(teacher, student, strict=True):
        p = torch.softmax(trust * z_t + (1 - trust) * z_s, dim=0)
        answers.append((int(p.argmax()), float(p.max())))
    counts = [sum(label == c for label, _ in answers) for c in range(6)]
    assert chosen.counts.tolist() == counts
    abundance = [n / max(counts) for n in counts]
    bars = [0.8 * a / (2 - a) for a in abundance]
    assert chosen.mask.tolist() == [q > bars[c] for c, q in answers]


def test_full_trust_hears_the_teacher_alone_and_none_the_student() -> None:
    teacher, student = random_logits()
    other = student.flip(0)
    assert torch.equal(
        dynamic_selection(teacher, student, trust=1.0).mask,
        dynamic_selection(teacher, other, trust=1.0).mask,
    )
    assert torch.equal(
        dynamic_selection(teacher, student, trust=0.0).mask,
        dynamic_selection(teacher.flip(0), student, trust=0.0).mask,
    )


def test_logits_are_mixed_and_not_probabilities() -> None:
    # Mean logits (2, 3) choose the second class; mean probabilities (0.98 + 0.02) / 2 the first.
    teacher, student = torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 6.0]])
    assert dynamic_selection(teacher, student, trust=0.5).labels.tolist() == [1]
    assert dynamic_selection(teacher, student, trust=0.7).labels.tolist() == [0]


def test_one_threshold_for_all_classes() -> None:
    teacher, student = random_logits()
    chosen = dynamic_selection(teacher, student, trust=1.0, threshold=0.8, class_wise=False)
    assert torch.equal(chosen.mask, torch.softmax(teacher, dim=1).amax(1) > 0.8)


def test_the_floor_takes_the_surest() -> None:
    teacher, student = random_logits()
    none = dynamic_selection(teacher, student, trust=1.0, threshold=1.0, class_wise=False)
    assert not none.mask.any()
    chosen = dynamic_selection(
        teacher, student, trust=1.0, threshold=1.0, class_wise=False, least=10
    )
    surest = torch.softmax(teacher, dim=1).amax(1).topk(10).indices
    assert sorted(chosen.mask.nonzero().flatten().tolist()) == sorted(surest.tolist())
    many = dynamic_selection(teacher, student, trust=1.0, threshold=0.0, least=10)
    assert many.mask.all()
    assert dynamic_selection(teacher, student, trust=1.0, threshold=1.0, least=999).mask.all()


def test_bad_input() -> None:
    teacher, student = random_logits()
    with pytest.raises(InputError, match="one shape"):
        dynamic_selection(teacher, student[:3], trust=1.0)
    for options in ({"trust": 1.1}, {"trust": 0.5, "threshold": -0.1}):
        with pytest.raises(InputError, match=r"\[0, 1\]"):
            dynamic_selection(teacher, student, **options)
