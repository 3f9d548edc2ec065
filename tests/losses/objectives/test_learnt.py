"""Objectives that learn or remember: against loops and closed forms, with their parts at hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.losses.objectives.boundaries import ActivationBoundaries, activation_boundary
from bequest.losses.objectives.factors import FactorTransfer
from bequest.losses.objectives.fitnets import Hint
from bequest.losses.objectives.information import VariationalInformation
from bequest.losses.objectives.representation import ContrastiveRepresentation
from bequest.losses.objectives.review import Review, hierarchical_context

LABELS = torch.tensor([0, 0, 1, 1, 1, 2, 2, 0])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(module: type[nn.Module], *arguments: object, **options: object) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return module(*arguments, **options)


def test_a_hint_is_the_error_of_its_regressor() -> None:
    hint = made(Hint, 2, 3)
    student, teacher = random(4, 2, 4, 4), random(4, 3, 2, 2, seed=1)
    pooled = F.avg_pool2d(student, 2)
    convolution, normal, _ = hint.regressor
    by_hand = torch.einsum("bchw,oc->bohw", pooled, convolution.weight[:, :, 0, 0])
    mean, variance = by_hand.mean((0, 2, 3)), by_hand.var((0, 2, 3), correction=0)
    by_hand = (by_hand - mean.view(1, -1, 1, 1)) / (variance + normal.eps).sqrt().view(1, -1, 1, 1)
    expected = (by_hand.relu() - teacher).square().mean()
    assert torch.allclose(hint(student, teacher), expected, rtol=1e-4)


def test_variational_information_is_a_gaussian_density() -> None:
    vid = made(VariationalInformation, 2, 3, variance=5.0)
    student, teacher = random(4, 2, 4, 4), random(4, 3, 4, 4, seed=1)
    gaussian = torch.distributions.Normal(vid.mean(student), math.sqrt(5.0))
    constant = 0.5 * math.log(2 * math.pi)
    expected = -gaussian.log_prob(teacher).mean() - constant
    assert torch.allclose(vid(student, teacher), expected, rtol=1e-4)


def test_the_best_variance_of_a_channel_is_its_mean_squared_error() -> None:
    vid = made(VariationalInformation, 1, 2)
    student, teacher = random(16, 1, 4, 4), random(16, 2, 4, 4, seed=1)
    error = (vid.mean(student) - teacher).square().mean((0, 2, 3)).detach()
    with torch.no_grad():
        vid.scale.copy_((error - vid.smallest).expm1().log())
    (at_best,) = torch.autograd.grad(vid(student, teacher), vid.scale)
    assert at_best.abs().max() < 1e-6


def test_a_boundary_is_what_a_loop_gives() -> None:
    student, teacher = random(3, 2, 2, 2).requires_grad_(), random(3, 2, 2, 2, seed=1)
    expected = [
        sum(
            max(0, 2 - s) ** 2 if t > 0 else max(0, 2 + s) ** 2
            for s, t in zip(ours.flatten().tolist(), theirs.flatten().tolist())
        )
        for ours, theirs in zip(student, teacher)
    ]
    assert activation_boundary(student, teacher).tolist() == pytest.approx(expected, rel=1e-5)
    # The side alone counts, so a map behind a ReLU will do.
    behind = activation_boundary(student, teacher.relu())
    assert torch.equal(behind, activation_boundary(student, teacher))


def test_deeper_boundaries_weigh_twice_as_much() -> None:
    ab = made(ActivationBoundaries, [2, 2], [3, 3])
    student, teacher = random(4, 2, 4, 4), random(4, 3, 4, 4, seed=1)
    first, last = (
        activation_boundary(connect(student), teacher).mean() for connect in ab.connectors
    )
    expected = 3 / 1000 * (0.5 * first + last)
    assert torch.allclose(ab([student] * 2, [teacher] * 2), expected, rtol=1e-4)


def test_factors_teach_the_student_and_reconstruction_the_paraphraser() -> None:
    ft = made(FactorTransfer, 2, 4)
    student, teacher = random(4, 2, 4, 4).requires_grad_(), random(4, 4, 4, 4, seed=1)
    weights = ft.encoder[0].weight, student
    given = torch.autograd.grad(ft(student, teacher), weights)
    factors = ft.encoder(teacher)
    unit = (F.normalize(f.flatten(1), dim=1) for f in (ft.translator(student), factors))
    distance = (next(unit) - next(unit)).abs().mean()
    reconstruction = F.mse_loss(ft.decoder(factors), teacher)
    assert torch.allclose(ft(student, teacher), distance + reconstruction)
    by_reconstruction = torch.autograd.grad(reconstruction, weights[:1], retain_graph=True)
    assert torch.allclose(given[0], *by_reconstruction, atol=1e-6)
    assert torch.allclose(given[1], *torch.autograd.grad(distance, student), atol=1e-7)
    # With a translator that says the factors themselves, nothing but reconstruction is left.
    same = made(FactorTransfer, 4, 4)
    same.translator = same.encoder
    factors = same.encoder(teacher)
    expected = F.mse_loss(same.decoder(factors), teacher)
    assert torch.allclose(same(teacher, teacher), expected, rtol=1e-4)


def crd(negatives: int = 4, **options: object) -> ContrastiveRepresentation:
    return made(ContrastiveRepresentation, 3, 5, labels=LABELS, negatives=negatives, dim=6)


def test_contrast_is_what_a_loop_gives() -> None:
    contrast = crd()
    places = torch.tensor([6, 0, 3])
    student, teacher = random(3, 3), random(3, 5, seed=1)
    banks = contrast.banks.clone()
    chosen = contrast._chosen(places, torch.Generator().manual_seed(5))
    given = contrast(student, teacher, places, torch.Generator().manual_seed(5))
    expected = 0.0
    for which, embed in enumerate((contrast.student(student), contrast.teacher(teacher))):
        rows = F.normalize(embed, dim=1).tolist()
        powers = [
            [
                math.exp(sum(x * y for x, y in zip(row, banks[which, place].tolist())) / 0.07)
                for place in line
            ]
            for row, line in zip(rows, chosen.tolist())
        ]
        norm = sum(map(sum, powers)) / (3 * 5) * len(LABELS)
        for line in powers:
            share = [p / norm / (p / norm + 4 / len(LABELS)) for p in line]
            expected -= (math.log(share[0]) + sum(math.log(1 - s) for s in share[1:])) / 3
    assert given.item() == pytest.approx(expected, rel=1e-3)


def test_negatives_are_of_all_other_classes_alike() -> None:
    places = torch.arange(8)
    chosen = crd(negatives=3000)._chosen(places, torch.Generator().manual_seed(0))
    assert torch.equal(chosen[:, 0], places)
    for place, negatives in zip(places, chosen[:, 1:]):
        counts = torch.bincount(negatives, minlength=8)
        others = LABELS[place] != LABELS
        assert counts[~others].sum() == 0
        shares = (counts[others] / 3000).tolist()
        assert shares == pytest.approx([1 / len(shares)] * len(shares), rel=0.15)


def test_banks_move_half_way_and_stay_on_the_sphere() -> None:
    contrast = crd()
    before = contrast.banks.clone()
    places = torch.tensor([1, 4])
    student, teacher = random(2, 3), random(2, 5, seed=1)
    contrast(student, teacher, places)
    new = F.normalize(contrast.teacher(teacher), dim=1)
    moved = F.normalize(before[0, places] + new, dim=1)
    assert torch.allclose(contrast.banks[0, places], moved, atol=1e-6)
    rest = [0, 2, 3, 5, 6, 7]
    assert torch.equal(contrast.banks[:, rest], before[:, rest])
    norms = contrast.norms.clone()
    contrast(student, teacher, places)
    assert torch.equal(contrast.norms, norms)  # set once


def test_contrast_goes_on_where_a_checkpoint_was_written() -> None:
    first, second = crd(), crd()
    places, pair = torch.tensor([1, 4]), (random(2, 3), random(2, 5, seed=1))
    first(*pair, places)
    second.load_state_dict(first.state_dict())
    losses = [m(*pair, places, torch.Generator().manual_seed(1)) for m in (first, second)]
    assert torch.equal(*losses)


def test_contrast_needs_two_classes() -> None:
    with pytest.raises(InputError, match="two classes"):
        ContrastiveRepresentation(3, 5, labels=torch.zeros(4, dtype=torch.int64))


def test_hierarchical_context_is_a_weighted_mean_of_levels() -> None:
    student, teacher = random(2, 3, 8, 8), random(2, 3, 8, 8, seed=1)
    levels = [F.mse_loss(student, teacher)]
    for side in (2, 4, 8):
        pooled = F.avg_pool2d(student, side), F.avg_pool2d(teacher, side)
        levels.append(F.mse_loss(*pooled))
    weights = [1, 1 / 2, 1 / 4, 1 / 8]
    expected = sum(w * v for w, v in zip(weights, levels)) / sum(weights)
    assert torch.allclose(hierarchical_context(student, teacher), expected, rtol=1e-5)
    vectors = random(2, 3, 1, 1), random(2, 3, 1, 1, seed=1)
    assert torch.allclose(hierarchical_context(*vectors), F.mse_loss(*vectors))


def test_each_stage_of_a_review_hears_the_deeper_ones() -> None:
    review = made(Review, [2, 4, 8], [3, 6, 8]).eval()
    sizes = (8, 4, 1)
    ours = [random(2, c, s, s).requires_grad_() for c, s in zip((2, 4, 8), sizes)]
    theirs = [random(2, c, s, s, seed=1).requires_grad_() for c, s in zip((3, 6, 8), sizes)]
    loss = review(ours, theirs)
    loss.backward()
    assert all(m.grad is not None and m.grad.abs().sum() > 0 for m in ours)
    assert all(m.grad is None for m in theirs)
    # The first stage alone: its term depends on the deepest map, the last one's not on the first.
    told, mixed = review.fusions[2](ours[2], None, (1, 1))
    deepest = hierarchical_context(told, theirs[2])
    told, mixed = review.fusions[1](ours[1], mixed, (4, 4))
    middle = hierarchical_context(told, theirs[1])
    told, _ = review.fusions[0](ours[0], mixed, (8, 8))
    first = hierarchical_context(told, theirs[0])
    assert torch.allclose(loss, deepest + middle + first)
    with pytest.raises(InputError, match="2 maps of the student"):
        review(ours[:2], theirs)


def test_a_fusion_is_that_of_the_figure() -> None:
    review = made(Review, [2, 4], [3, 6]).eval()
    fuse, own, deeper = review.fusions[0], random(2, 2, 8, 8), random(2, 4, 4, 4, seed=1)
    mixed = fuse.inner(own)
    enlarged = deeper.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    part = torch.sigmoid(fuse.attention(torch.cat((mixed, enlarged), dim=1)))
    expected = part[:, :1] * mixed + part[:, 1:] * enlarged
    told, passed_on = fuse(own, deeper, (8, 8))
    assert torch.allclose(passed_on, expected, atol=1e-6)
    assert torch.allclose(told, fuse.outer(expected), atol=1e-6)


def test_the_gradient_of_a_boundary_is_that_of_the_hinge() -> None:
    student, teacher = random(3, 2, 2, 2).requires_grad_(), random(3, 2, 2, 2, seed=1)
    sign = torch.where(teacher > 0, 1.0, -1.0)
    hinge = torch.relu(2 - sign * student).square().sum()
    (given,) = torch.autograd.grad(activation_boundary(student, teacher).sum(), student)
    (expected,) = torch.autograd.grad(hinge, student)
    assert torch.allclose(given, expected)
