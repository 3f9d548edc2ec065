"""The sampled softmax against a loop, and against the full one."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bequest.losses.sampled_softmax import sampled_softmax
from bequest.ops.candidate_sampling import draw_distinct, log_uniform_probabilities


def tensors(seed=0, batch=5, items=9, dim=4):
    rng = torch.Generator().manual_seed(seed)
    users = torch.randn(batch, dim, generator=rng, dtype=torch.float64)
    table = torch.randn(items, dim, generator=rng, dtype=torch.float64)
    return users, table, torch.randint(items, (batch,), generator=rng), rng


def test_it_is_the_formula_user_by_user():
    users, table, targets, rng = tensors()
    negatives = torch.tensor([0, 3, 4, 8])
    q = torch.rand(9, generator=rng, dtype=torch.float64) + 0.1
    losses = sampled_softmax(
        users,
        table[targets],
        table[negatives],
        same=targets[:, None] == negatives,
        log_q_targets=q.log()[targets],
        log_q_negatives=q.log()[negatives],
    )
    for user, target, loss in zip(users, targets.tolist(), losses):
        own = math.exp(user @ table[target]) / q[target]
        others = sum(math.exp(user @ table[j]) / q[j] for j in negatives.tolist() if j != target)
        assert loss.item() == pytest.approx(-math.log(own / (own + others)), rel=1e-5)


def test_all_items_without_correction_give_the_full_softmax():
    users, table, targets, _ = tensors()
    losses = sampled_softmax(
        users, table[targets], table, same=targets[:, None] == torch.arange(len(table))
    )
    expected = F.cross_entropy(users @ table.T, targets, reduction="none")
    assert losses.tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_only_hits_leave_no_loss_and_a_finite_gradient():
    users, table, _, _ = tensors(batch=1)
    users.requires_grad_()
    same = torch.ones(1, 1, dtype=torch.bool)
    loss = sampled_softmax(users, table[:1], table[:1], same=same).sum()
    loss.backward()
    assert loss.item() == 0
    assert users.grad.isfinite().all()


def test_the_correction_makes_the_gradient_that_of_the_full_softmax():
    """Averaged over samples, up to the bias of a ratio, which falls with the sample."""
    users, table, targets, rng = tensors(batch=1, items=60)
    table = table / 4
    p = log_uniform_probabilities(60)
    users.requires_grad_()
    (full,) = torch.autograd.grad(F.cross_entropy(users @ table.T, targets), users)

    def mean(correct):
        total = torch.zeros_like(users)
        for _ in range(500):
            drawn, q = draw_distinct(p, 30, generator=rng)
            log_q = q.log() * correct
            loss = sampled_softmax(
                users,
                table[targets],
                table[drawn],
                same=targets[:, None] == drawn,
                # The true loss has the target with certainty.
                log_q_targets=0.0,
                log_q_negatives=log_q[drawn],
            )
            total += torch.autograd.grad(loss.sum(), users)[0]
        return total / 500

    off = (mean(correct=False) - full).norm() / full.norm()
    assert (mean(correct=True) - full).norm() / full.norm() < min(0.03, off / 2)
