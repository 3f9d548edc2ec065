"""A plain function as a simulator."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.simulators import FunctionSimulator

RNG = torch.Generator().manual_seed(0)


def world(step=lambda state, action: (action / 2, (state + action) % 3), **options):
    return FunctionSimulator(step, **({"num_states": 3, "num_actions": 2} | options))


def test_a_draw_asks_for_each_pair():
    rewards, states = world().draw(2, RNG)
    assert rewards.shape == states.shape == (2, 1, 3, 2)
    assert states[1, 0].tolist() == [[0, 1], [1, 2], [2, 0]]
    assert rewards[0, 0].tolist() == [[0.0, 0.5]] * 3


def test_moves_and_restarts():
    env = world(start=[0.0, 0.0, 1.0])
    assert env.begin(4, RNG).tolist() == [[2, 2, 2, 2]]
    first = torch.tensor([0])
    assert env.restart(torch.zeros(1, 2).long(), first, RNG).tolist() == [[2, 0]]
    rewards, states = env.move(torch.tensor([[0, 2]]), torch.tensor([[1, 1]]), RNG)
    assert (rewards.tolist(), states.tolist()) == ([[0.5, 0.5]], [[1, 0]])


@pytest.mark.parametrize("outcome", [(2.0, 0), (float("nan"), 0), (0.5, 3), (0.5, -1)])
def test_what_a_function_may_not_give(outcome):
    with pytest.raises(InputError, match="step gave the reward"):
        world(lambda state, action: outcome).draw(1, RNG)


@pytest.mark.parametrize(
    "options", [{"num_states": 0}, {"num_actions": 0}, {"start": [0.5, 0.5]}, {"start": [2, -1, 0]}]
)
def test_sizes_that_make_no_sense_are_refused(options):
    with pytest.raises(InputError):
        world(**options)
