"""Dynamics other than those learnt from, against a loop over outcomes."""

from __future__ import annotations

import pytest
import torch

from bequest.data.decision import garnets
from bequest.errors import InputError
from bequest.ops.shifts import redrawn, slipping


def full(model):
    """The kernel and mean reward of a model."""
    shape = (*model.successors.shape[:3], model.num_states)
    table = torch.zeros(shape, dtype=torch.float64)
    table.scatter_add_(-1, model.successors, model.probabilities)
    return table, (model.probabilities * model.rewards).sum(-1)


def test_a_slip_is_another_action():
    model = garnets(2, states=5, actions=3, branching=2, seed=0)
    before, reward = full(model)
    after, slipped = full(slipping(model, 0.3))
    torch.testing.assert_close(after, 0.7 * before + 0.3 * before.mean(2, keepdim=True))
    torch.testing.assert_close(slipped, 0.7 * reward + 0.3 * reward.mean(2, keepdim=True))
    with pytest.raises(InputError, match=r"slip is 1\.5"):
        slipping(model, 1.5)


def test_redrawn_probabilities_keep_what_is_possible():
    model = slipping(garnets(2, states=5, actions=3, branching=2, seed=0), 0.0)
    other = redrawn(model, 1.0, 7)
    assert (other.probabilities[model.probabilities == 0] == 0).all()
    assert torch.equal(redrawn(model, 0.0, 7).probabilities, model.probabilities)
    half = redrawn(model, 0.5, 7).probabilities
    torch.testing.assert_close(half, (model.probabilities + other.probabilities) / 2)
    assert not torch.equal(redrawn(model, 1.0, 8).probabilities, other.probabilities)
    with pytest.raises(InputError, match="amount is -1"):
        redrawn(model, -1, 0)
