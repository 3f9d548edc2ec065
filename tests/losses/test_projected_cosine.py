"""Feature alignment: its range, its value by hand, who learns."""

from __future__ import annotations

import torch

from bequest.losses.projected_cosine import ProjectedCosine


def test_it_is_the_squared_distance_of_unit_vectors() -> None:
    torch.manual_seed(0)
    module = ProjectedCosine(3, 5).eval()
    student, teacher = torch.randn(6, 3), torch.randn(6, 5)
    projected = module.projector(student)
    unit = [v / v.norm(dim=1, keepdim=True) for v in (projected, teacher)]
    expected = (unit[0] - unit[1]).square().sum(1)
    assert torch.allclose(module(student, teacher), expected, atol=1e-5)


def test_its_ends_are_0_and_4() -> None:
    torch.manual_seed(0)
    module = ProjectedCosine(3, 5).eval()
    student = torch.randn(6, 3)
    same = module.projector(student).detach()
    assert torch.allclose(module(student, 3 * same), torch.zeros(6), atol=1e-5)
    assert torch.allclose(module(student, -same), torch.full((6,), 4.0), atol=1e-5)


def test_the_teacher_takes_no_gradient() -> None:
    module = ProjectedCosine(3, 5, factor=2)
    student, teacher = torch.randn(6, 3, requires_grad=True), torch.randn(6, 5, requires_grad=True)
    module(student, teacher).mean().backward()
    assert student.grad is not None
    assert teacher.grad is None
    assert module.projector[0].out_features == 10
