"""Category contrast against a loop over the definition, its closed form, invariances, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bequest.errors import InputError
from bequest.losses.category_contrast import CategoryContrast, alignable, centre_alignment


def example(count: int = 12, *, classes: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    draw = [torch.randn(*size, generator=rng) for size in ((count, 5), (classes, 5), (classes, 7))]
    return *draw, torch.arange(count) // 2 % classes


def contrast(**options: object) -> CategoryContrast:
    torch.manual_seed(0)
    return CategoryContrast(5, 7, **options)


@torch.no_grad()
def by_loops(module: CategoryContrast, f: Tensor, w_s: Tensor, w_t: Tensor, y: Tensor) -> Tensor:
    """The published definition, one pair of rows after another, in double precision."""
    tau, tau_0 = module.temperature, module.base_temperature
    embedded = [e / e.norm(dim=1, keepdim=True) for e in (module.own(f), module.taught(f))]
    rows = torch.cat([embedded[0] @ w_s.T, embedded[1] @ w_t.T]).double()
    labels = torch.cat([y, y]).tolist()
    losses = []
    for i in range(len(rows)):
        scores = [float(rows[i] @ rows[a]) / tau for a in range(len(rows))]
        log_sum = math.log(sum(math.exp(s) for a, s in enumerate(scores) if a != i) + 1e-7)
        same = [a for a in range(len(rows)) if a != i and labels[a] == labels[i]]
        losses.append(-tau / tau_0 * sum(scores[p] - log_sum for p in same) / len(same))
    return torch.tensor([losses[j] + losses[j + len(f)] for j in range(len(f))])


def test_it_is_the_definition() -> None:
    module = contrast()
    features, student, teacher, labels = example()
    ours = module(features, student, teacher, labels)
    assert torch.allclose(ours, by_loops(module, features, student, teacher, labels), rtol=1e-4)


@pytest.mark.parametrize("images", [4, 64])
def test_without_any_relation_all_rows_are_equally_near(images: int) -> None:
    views = 4 * images
    zero = torch.zeros(10, 5), torch.zeros(10, 7)
    losses = contrast()(torch.randn(views, 5), *zero, torch.arange(views) // 4 % 10)
    expected = 2 * (4 / 0.07) * math.log(8 * images - 1)
    assert losses.tolist() == pytest.approx([expected] * views, rel=1e-5)
    if images == 64:
        assert 0.05 * expected == pytest.approx(35.6, abs=0.05)


@pytest.mark.parametrize("mode", ["relation", "centre"])
def test_order_of_views_changes_nothing_but_the_order(mode: str) -> None:
    module = contrast(mode=mode)
    features, student, teacher, labels = example()
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(1))
    losses = module(features, student, teacher, labels)
    again = module(features[order], student, teacher, labels[order])
    assert torch.allclose(again, losses[order], rtol=1e-4)


@pytest.mark.parametrize("mode", ["relation", "centre"])
def test_the_students_head_learns_and_the_teachers_does_not(mode: str) -> None:
    module = contrast(mode=mode)
    features, student, teacher, labels = example()
    for tensor in (features, student, teacher):
        tensor.requires_grad_()
    module(features, student, teacher, labels).mean().backward()
    assert features.grad is not None
    assert student.grad is not None
    assert teacher.grad is None
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())


def test_centres_are_told_apart_by_hand() -> None:
    module = contrast(mode="centre", temperature=2.0, base_temperature=0.5)
    features, student, teacher, labels = example(2)
    with torch.no_grad():
        own, taught = module.relations(features, student, teacher)
    expected = [
        4
        * sum(
            -math.log(float((r[i] / 2).exp()[labels[i]] / (r[i] / 2).exp().sum()))
            for r in (own, taught)
        )
        for i in range(2)
    ]
    assert module(features, student, teacher, labels).tolist() == pytest.approx(expected, rel=1e-4)


def test_heads_of_other_classes_are_refused() -> None:
    features, student, teacher, labels = example()
    with pytest.raises(InputError, match=r"\(2, 5\).*\(3, 7\)"):
        contrast()(features, student[:2], teacher, labels)
    with pytest.raises(InputError, match="above 0"):
        contrast(temperature=0.0)


def test_centres_align_where_shapes_do() -> None:
    torch.manual_seed(0)
    student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    difference = torch.cat(
        ((student.weight - teacher.weight).flatten(), student.bias - teacher.bias)
    )
    loss = centre_alignment(student, teacher)
    assert loss.item() == pytest.approx(difference.square().mean().item(), rel=1e-5)
    loss.backward()
    assert teacher.weight.grad is None
    assert student.bias.grad is not None
    assert centre_alignment(student, student).item() == 0


@pytest.mark.parametrize("other", [nn.Linear(5, 3), nn.Linear(4, 2), nn.Linear(4, 3, bias=False)])
def test_other_heads_do_not_align(other: nn.Linear) -> None:
    assert not alignable(nn.Linear(4, 3), other)
    with pytest.raises(InputError, match="3x4 with bias"):
        centre_alignment(nn.Linear(4, 3), other)


def test_heads_without_bias_align() -> None:
    heads = nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False)
    expected = (heads[0].weight - heads[1].weight).square().mean()
    assert torch.allclose(centre_alignment(*heads), expected)
