"""Small worlds: the chain, Garnets, and gymnasium's as tables."""

from __future__ import annotations

import sys

import pytest
import torch

from bequest.data.decision import chain, garnets, gymnasium_model
from bequest.data.gymnasium_worlds import WorldSimulator, make_world, read_world
from bequest.errors import InputError


def test_the_chain_is_that_of_the_paper():
    model = chain(stay=0.7)
    assert (len(model), model.num_states, model.num_actions) == (1, 10, 2)
    assert model.successors[0, 3].tolist() == [[3, 4], [3, 4]]
    assert model.probabilities[0, 3].flatten().tolist() == pytest.approx([0.7, 0.3, 0.3, 0.7])
    assert model.successors[0, 9].unique().tolist() == [9]
    assert model.rewards[0, :, 0, 0].tolist() == [1.0] * 9 + [0.0]
    assert chain(returns=True).successors[0, 9, 0].tolist() == [9, 0]
    with pytest.raises(InputError, match="2 states"):
        chain(states=1)


def test_garnets_are_what_they_are_asked_to_be():
    model = garnets(5, states=12, actions=3, branching=4, seed=2)
    assert model.successors.shape == (5, 12, 3, 4)
    ordered = model.successors.sort(-1)[0]
    assert (ordered.diff(dim=-1) > 0).all()  # different successors
    assert (model.rewards == model.rewards[:, :, :1, :1]).all()
    assert torch.equal(model.probabilities, garnets(5, states=12, actions=3, seed=2).probabilities)
    assert not torch.equal(model.rewards, garnets(5, states=12, actions=3, seed=3).rewards)
    with pytest.raises(InputError, match="branching up to states"):
        garnets(1, states=3, branching=4)


def test_without_gymnasium_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(InputError, match=r"bequest\[decision\]"):
        gymnasium_model("taxi")


class TestGymnasium:
    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("gymnasium", reason="needs the extra decision")

    @pytest.mark.parametrize(
        ("name", "states", "actions"),
        [("frozen-lake", 16, 4), ("cliff-walking", 48, 4), ("taxi", 500, 6)],
    )
    def test_worlds_have_one_more_state(self, name, states, actions):
        model = gymnasium_model(name)
        assert (model.num_states, model.num_actions) == (states + 1, actions)
        end = model.successors[0, states, :, 0]
        assert (end == states).all()

    def test_rewards_are_scaled_with_the_ends_nothing(self):
        model = gymnasium_model("cliff-walking")
        possible = model.rewards[model.probabilities > 0].unique()
        assert possible.tolist() == pytest.approx([0.0, 0.99, 1.0])  # -100, -1, 0
        assert model.rewards[0, 48].unique().tolist() == [1.0]

    def test_the_lake_is_as_slippery_as_asked(self):
        sure = gymnasium_model("frozen-lake", is_slippery=False)
        assert sure.probabilities.max(-1)[0].eq(1).all()
        assert not gymnasium_model("frozen-lake").probabilities.max(-1)[0].eq(1).all()

    def test_unknown_worlds_and_worlds_without_a_table_are_refused(self):
        with pytest.raises(InputError, match="no world 'frozen-pond'"):
            gymnasium_model("frozen-pond")
        with pytest.raises(InputError, match="no table P"):
            read_world(make_world("Blackjack-v1"))

    def test_a_live_world_is_the_world_of_the_table(self):
        """Frequencies of transitions, live, against the table's probabilities."""
        model = gymnasium_model("frozen-lake")
        env = WorldSimulator([make_world("frozen-lake") for _ in range(8)], reward_range=(0, 1))
        rng = torch.Generator().manual_seed(0)
        states = env.begin(8, rng)
        seen = torch.zeros(17, 4, 17, dtype=torch.float64)
        for _ in range(800):
            actions = torch.randint(4, states.shape, generator=rng)
            rewards, following = env.move(states, actions, rng)
            assert ((rewards >= 0) & (rewards <= 1)).all()
            seen.index_put_((states[0], actions[0], following[0]), torch.ones(8).double(),
                            accumulate=True)  # fmt: skip
            states = env.restart(following, (following[0] == 16).nonzero()[:, 0], rng)
        table = torch.zeros(17, 4, 17, dtype=torch.float64)
        table.scatter_add_(-1, model.successors[0], model.probabilities[0])
        visits = seen.sum(-1)
        often = visits > 150
        assert often.sum() > 10
        torch.testing.assert_close(
            (seen / visits[..., None])[often], table[often], atol=0.12, rtol=0
        )

    def test_a_live_world_says_what_it_cannot(self):
        worlds = [make_world("frozen-lake")]
        env, rng = WorldSimulator(worlds, reward_range=(0, 1)), torch.Generator()
        with pytest.raises(InputError, match="'trajectory'"):
            env.draw(1, rng)
        with pytest.raises(InputError, match="1 worlds for 2 actors"):
            env.begin(2, rng)
        with pytest.raises(InputError, match="reward_range"):
            WorldSimulator(worlds, reward_range=(0, 0))
        with pytest.raises(InputError, match="one for each actor"):
            WorldSimulator([], reward_range=(0, 1))
