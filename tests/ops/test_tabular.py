"""Finite models: what is refused, draws against probabilities, values against a loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bequest.data.decision import garnets
from bequest.errors import InputError
from bequest.ops.tabular import (
    cumulative_probabilities,
    dense_model,
    empirical_model,
    outcome_values,
    policy_values,
    stack_models,
)


def kernel(*rows):
    return torch.tensor(rows, dtype=torch.float64)


TWO = kernel([[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.0, 1.0]])
REWARDS = torch.tensor([[1.0, 0.5], [0.0, 0.25]], dtype=torch.float64)


def full(model):
    """The kernel and mean reward of a model, by a loop."""
    shape = model.successors.shape
    table = torch.zeros(*shape[:3], shape[1], dtype=torch.float64)
    reward = torch.zeros(shape[:3], dtype=torch.float64)
    for m in range(shape[0]):
        for s in range(shape[1]):
            for a in range(shape[2]):
                for k in range(shape[3]):
                    p = model.probabilities[m, s, a, k]
                    table[m, s, a, model.successors[m, s, a, k]] += p
                    reward[m, s, a] += p * model.rewards[m, s, a, k]
    return table, reward


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": TWO[None] * 0.5}, r"transition row .* \(0, 0, 0\).* sum is 0.5"),
        ({"probabilities": TWO[None] * float("nan")}, "no distribution"),
        ({"probabilities": (TWO - 0.5)[None] * 2}, "least value"),
        ({"probabilities": TWO}, "successors' shape"),
        ({"successors": torch.full((1, 2, 2, 2), 2)}, "states are 0 to 1"),
        ({"successors": torch.zeros(0, 2, 2, 2).long()}, "at least one"),
        ({"rewards": torch.full((1, 2, 2, 2), -1.0).double()}, r"scale them into \[0, 1\]"),
        ({"rewards": torch.full((1, 2, 2, 2), float("nan")).double()}, r"\[0, 1\]"),
        ({"start": torch.tensor([[0.5, 0.6]])}, "start at model"),
        ({"start": torch.tensor([0.5, 0.5])}, "start must be"),
    ],
)
def test_what_is_no_model_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(dense_model(TWO, REWARDS), **change)


def test_a_kernel_of_another_shape_is_refused():
    with pytest.raises(InputError, match="kernel must be"):
        dense_model(TWO[:1], REWARDS[:1])
    with pytest.raises(InputError, match="rewards must be"):
        dense_model(TWO, REWARDS[:, :1])


def test_draws_follow_the_probabilities():
    model = dense_model(TWO, TWO)  # a reward of its own for each next state
    rewards, states = model.draw(20_000, torch.Generator().manual_seed(0))
    assert rewards.shape == states.shape == (20_000, 1, 2, 2)
    torch.testing.assert_close((states == 1).double().mean(0)[0], TWO[..., 1], atol=0.015, rtol=0)
    torch.testing.assert_close(rewards, TWO.expand(20_000, 1, 2, 2, 2).gather(-1, states[..., None])
                               .squeeze(-1))  # fmt: skip
    assert (states[:, 0, 1, 1] == 1).all()  # what is impossible never comes


def test_moves_follow_the_probabilities():
    model = stack_models([dense_model(TWO, REWARDS), dense_model(TWO.flip(0), REWARDS)])
    rng = torch.Generator().manual_seed(0)
    states, actions = torch.randint(2, (2, 2, 40_000), generator=rng)
    rewards, following = model.move(states, actions, rng)
    torch.testing.assert_close(rewards, REWARDS[states, actions])
    for m, table in enumerate((TWO, TWO.flip(0))):
        for s in range(2):
            for a in range(2):
                seen = following[m][(states[m] == s) & (actions[m] == a)].double().mean()
                assert seen.item() == pytest.approx(table[s, a, 1].item(), abs=0.02)


@pytest.mark.parametrize("states", [5, 40])
def test_few_and_many_outcomes_are_drawn_alike(states):
    """Up to 16 outcomes by comparison, more by search; impossible ones never."""
    rng = torch.Generator().manual_seed(0)
    table = torch.rand(states, 2, states, generator=rng, dtype=torch.float64)
    table = table.masked_fill(torch.rand(table.shape, generator=rng) < 0.3, 0)
    table = table / table.sum(-1, keepdim=True)
    model = dense_model(table, torch.zeros(states, 2).double())
    seen = torch.zeros(1, *table.shape).double()
    _, following = model.draw(4000, rng)
    seen.scatter_add_(-1, following.movedim(0, -1), torch.ones_like(seen[..., :1]).expand(
        -1, -1, -1, 4000))  # fmt: skip
    torch.testing.assert_close(seen[0] / 4000, table, atol=0.04, rtol=0)
    assert (seen[0][table == 0] == 0).all()
    _, moved = model.move(torch.zeros(1, 4000).long(), torch.ones(1, 4000).long(), rng)
    counts = torch.bincount(moved[0], minlength=states) / 4000
    torch.testing.assert_close(counts.double(), table[0, 1], atol=0.04, rtol=0)
    assert (counts[table[0, 1] == 0] == 0).all()


def test_actors_begin_and_restart_where_the_start_says():
    model = dense_model(TWO, REWARDS, torch.tensor([0.25, 0.75]).double())
    rng = torch.Generator().manual_seed(0)
    assert model.begin(20_000, rng).double().mean().item() == pytest.approx(0.75, abs=0.02)
    only = dense_model(TWO, REWARDS, torch.tensor([0.0, 1.0]).double())
    first = torch.tensor([0])
    assert only.restart(torch.zeros(1, 2).long(), first, rng).tolist() == [[1, 0]]


def test_rounding_leads_to_no_outcome_that_does_not_exist():
    sums = cumulative_probabilities(torch.tensor([[0.1] * 10, [0.5, 0.5] + [0.0] * 8]))
    assert (sums[0, :9] < 1).all()
    assert (sums[1, 1:] == 2).all()
    assert (sums[:, -1] == 2).all()


def test_policy_values_are_what_patience_gives():
    model = garnets(3, states=7, actions=3, branching=2, seed=1)
    table, reward = full(model)
    policy = torch.randint(3, (3, 7), generator=torch.Generator().manual_seed(0))
    values = policy_values(model, policy, 0.9)
    for m in range(3):
        patient = torch.zeros(7, dtype=torch.float64)
        for _ in range(400):
            patient = torch.stack(
                [reward[m, s, a] + 0.9 * table[m, s, a] @ patient for s, a in enumerate(policy[m])]
            )
        torch.testing.assert_close(values[m], patient)


def test_outcomes_carry_their_reward():
    model = dense_model(TWO, REWARDS)
    values = torch.tensor([[3.0, 5.0]]).double()
    backup = 0.5 * (model.probabilities * outcome_values(model, values, 0.5)).sum(-1)[0]
    torch.testing.assert_close(backup, REWARDS + 0.5 * TWO @ values[0])


def test_an_estimated_kernel_comes_near():
    model = garnets(2, states=6, actions=2, branching=3, seed=0)
    known = empirical_model(model, 20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(known.probabilities, full(model)[0], atol=0.015, rtol=0)
    torch.testing.assert_close(full(known)[1], full(model)[1], atol=1e-9, rtol=0)
    assert known.stored_numbers == 2 * 6 * 2 * 6
