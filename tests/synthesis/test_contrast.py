"""The instance contrast against plain loops; its bank; its state."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from bequest.run import Run
from bequest.synthesis.contrast import InstanceContrast

LENGTH = 6


def build(run, **changes):
    torch.manual_seed(0)
    values = dict(dim=4, temperature=0.5, bank_size=10, negatives=5, learning_rate=1e-2)
    return InstanceContrast(LENGTH, run, **values | changes)


def features(count, *, seed):
    return torch.randn(count, LENGTH, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def run():
    with Run(seed=0, device="cpu", precision="fp32") as run:
        yield run


def by_loops(contrast, local, whole, count):
    """Mean over the first `count` and mean over the rest, added."""
    queries, keys = contrast.head(local).tolist(), contrast.head(whole).tolist()
    losses = []
    for i, query in enumerate(queries):
        scores = [sum(a * b for a, b in zip(query, key)) / contrast.temperature for key in keys]
        losses.append(math.log(sum(map(math.exp, scores))) - scores[i])
    rest = losses[count:]
    return sum(losses[:count]) / count + (sum(rest) / len(rest) if rest else 0)


@pytest.mark.parametrize("held", [0, 3, 5])
def test_the_loss_is_the_loop_over_new_and_earlier_images(run, held):
    contrast = build(run)
    local, whole = features(4, seed=1), features(4, seed=2)
    pairs = [local], [whole]
    if held:
        # Half precision in the bank: compare with what it holds.
        earlier = features(held, seed=3).half(), features(held, seed=4).half()
        contrast.remember(*earlier)
        pairs = [local, earlier[0].float()], [whole, earlier[1].float()]
    expected = by_loops(contrast, torch.cat(pairs[0]), torch.cat(pairs[1]), 4)
    assert contrast.loss(local, whole).item() == pytest.approx(expected, rel=1e-4)


def test_new_images_learn_through_their_local_views_alone(run):
    contrast = build(run)
    contrast.remember(features(5, seed=3), features(5, seed=4))
    local, whole = features(4, seed=1).requires_grad_(), features(4, seed=2).requires_grad_()
    contrast.loss(local, whole).backward()
    assert local.grad.abs().sum(1).min() > 0
    assert whole.grad is None
    assert all(p.grad is not None for p in contrast.head.parameters())


def test_training_the_discriminator_lowers_the_loss(run):
    contrast = build(run)
    local = features(8, seed=1)
    whole = local + 0.1 * features(8, seed=2)
    before = contrast.loss(local, whole).item()
    for _ in range(30):
        contrast.loss(local, whole).backward()
        contrast.step()
    assert contrast.loss(local, whole).item() < 0.7 * before
    assert all(p.grad is None for p in contrast.head.parameters())


def test_projections_have_norm_one(run):
    projected = build(run).head(features(7, seed=0))
    assert torch.allclose(projected.norm(dim=1), torch.ones(7), atol=1e-6)


def test_the_bank_wraps_around_and_keeps_pairs_together(run):
    contrast = build(run, negatives=10)
    for block in range(4):
        local = torch.arange(4.0)[:, None].expand(4, LENGTH) + 4 * block
        contrast.remember(local, local + 100)
    held = contrast.earlier(like=torch.zeros(1))
    assert len(contrast.bank) == 10
    assert sorted(held["local"][:, 0].tolist()) == [float(v) for v in range(6, 16)]
    assert torch.equal(held["whole"], held["local"] + 100)


def test_earlier_images_are_drawn_without_replacement_and_anew(run):
    contrast = build(run)
    contrast.remember(*[torch.arange(10.0)[:, None].expand(10, LENGTH)] * 2)
    draws = [contrast.earlier(like=torch.zeros(1))["local"][:, 0].tolist() for _ in range(8)]
    assert all(len(set(draw)) == 5 for draw in draws)
    assert len({tuple(sorted(draw)) for draw in draws}) > 1


def test_more_negatives_than_the_bank_holds_are_not_asked_for(run):
    assert build(run, bank_size=3, negatives=50).negatives == 3


def test_its_state_goes_round(run):
    contrast = build(run)
    for seed in range(3):
        contrast.remember(features(4, seed=seed), features(4, seed=seed + 10))
        contrast.loss(features(4, seed=1), features(4, seed=2)).backward()
        contrast.step()
    with Run(seed=7, device="cpu", precision="fp32") as other_run:
        # All ten are drawn, so that the draws differ in their order alone.
        other = build(other_run, negatives=10)
        for parameter in other.head.parameters():
            parameter.data.zero_()
        other.load_state_dict(copy.deepcopy(contrast.state_dict()))
        contrast.negatives = 10
        for part in (contrast, other):
            part.loss(features(4, seed=5), features(4, seed=6)).backward()
            part.step()
    for ours, theirs in zip(contrast.head.parameters(), other.head.parameters()):
        assert torch.allclose(ours, theirs, atol=1e-6)
    assert torch.equal(contrast.bank["local"], other.bank["local"])
    assert contrast.bank.written == other.bank.written == 12
