"""gymnasium's worlds with a table: read as a model, or sampled live. Needs the extra `decision`.

A world's end becomes one more state, the last, that never leaves itself and earns nothing; rewards
are scaled into [0, 1] by `(reward - least) / (most - least)`, nothing's 0 among them, which keeps
the order of all policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.extras import load_extra
from bequest.ops.tabular import TabularModel

NAMES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "frozen-lake": (("FrozenLake-v1",), {"map_name": "4x4", "is_slippery": True}),
    "cliff-walking": (("CliffWalking-v1",), {}),
    "taxi": (("Taxi-v4", "Taxi-v3"), {}),
}
"""The worlds that have a name here: ids, the newest first, and their options."""


def make_world(name: str, **options: Any) -> Any:
    """A gymnasium environment by its name here or its id.

    Raises:
        InputError: When gymnasium is missing or knows no such world.
    """
    gymnasium = load_extra("gymnasium", extra="decision")
    ids, defaults = NAMES.get(name, ((name,), {}))
    known = [id for id in ids if id in gymnasium.registry]
    if not known:
        raise InputError(
            f"gymnasium {gymnasium.__version__} has no world '{name}'. Known here: "
            f"{', '.join(NAMES)}; of gymnasium's ids, those with a table."
        )
    return gymnasium.make(known[0], **(defaults | options))


def read_world(world: Any) -> TabularModel:
    """The table `P` of an environment as one model.

    Args:
        world: A gymnasium environment whose `unwrapped.P` gives, by state and action, a list of
            `(probability, next state, reward, ended)`. It begins where
            `unwrapped.initial_state_distrib` says, without one in state 0.

    Raises:
        InputError: For a world without a table.
    """
    table = _table(world)
    states, actions = len(table), len(table[0])
    least, most = _reward_range(table)
    width = max(len(outcomes) for row in table.values() for outcomes in row.values())
    shape = (1, states + 1, actions, width)
    successors = torch.full(shape, states)
    probabilities = torch.zeros(shape, dtype=torch.float64)
    rewards = torch.zeros(shape, dtype=torch.float64)
    for state, row in table.items():
        for action, outcomes in row.items():
            for place, (probability, following, reward, ended) in enumerate(outcomes):
                where = (0, int(state), int(action), place)
                successors[where] = states if ended else int(following)
                probabilities[where] = float(probability)
                rewards[where] = float(reward)
    probabilities[0, states, :, 0] = 1
    # Nothing is earned in the end, and what cannot happen earns nothing either.
    rewards = (rewards - least) / (most - least)
    start = torch.zeros(1, states + 1, dtype=torch.float64)
    begins = getattr(world.unwrapped, "initial_state_distrib", None)
    if begins is None:
        start[0, 0] = 1
    else:
        start[0, :states] = torch.as_tensor(begins, dtype=torch.float64)
    return TabularModel(
        successors=successors, probabilities=probabilities, rewards=rewards, start=start
    )


class WorldSimulator:
    """A live gymnasium world, stepped by as many copies as there are actors; no table is read.

    For learning along trajectories alone: such a world draws no outcome of any pair that is asked
    for. States are numbered as the world does, the last one is its end.

    Args:
        world: Copies of one environment with `Discrete` states and actions, one for each actor.
        reward_range: Least and most reward, 0 among them; scales them into [0, 1].
        seed: Of the worlds' own random numbers.

    Raises:
        InputError: For no world, other spaces, or an empty range.
    """

    dtype = torch.float64

    def __init__(
        self, worlds: Sequence[Any], *, reward_range: tuple[float, float], seed: int = 0
    ) -> None:
        if not worlds:
            raise InputError("No world is given; there must be one for each actor.")
        spaces = (worlds[0].observation_space, worlds[0].action_space)
        if not all(hasattr(space, "n") for space in spaces):
            raise InputError(f"States and actions must be Discrete, not {spaces}.")
        least, most = min(0.0, *reward_range), max(0.0, *reward_range)
        if not least < most:
            raise InputError(f"reward_range is {reward_range}; it must hold more than 0.")
        self.num_states, self.num_actions = int(spaces[0].n) + 1, int(spaces[1].n)
        self._worlds, self._least, self._most = worlds, least, most
        self._seed: int | None = seed

    def __len__(self) -> int:
        return 1

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Refused."""
        raise InputError(
            "A live world draws no outcomes of all pairs: set sampling to 'trajectory', or read "
            "its table with bequest.data.decision.gymnasium_model."
        )

    def begin(self, actors: int, rng: torch.Generator) -> Tensor:
        """All worlds from their start: `(1, actors)`."""
        if actors != len(self._worlds):
            raise InputError(f"There are {len(self._worlds)} worlds for {actors} actors.")
        return torch.tensor([[self._reset(actor) for actor in range(actors)]], device=rng.device)

    def restart(self, states: Tensor, actors: Tensor, rng: torch.Generator) -> Tensor:
        """The states, with the worlds of the `actors` `(number,)` reset."""
        fresh = [[self._reset(actor) for actor in actors.tolist()]]
        return states.index_copy(1, actors, torch.tensor(fresh).to(states))

    def move(self, states: Tensor, actions: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """One step of every world; ended ones stay ended until they are restarted."""
        rewards = torch.full(states.shape, -self._least / (self._most - self._least)).double()
        following = torch.full(states.shape, self.num_states - 1)
        pairs = zip(states.flatten().tolist(), actions.flatten().tolist(), strict=True)
        for actor, (state, action) in enumerate(pairs):
            if state == self.num_states - 1:
                continue
            after, reward, ended, _, _ = self._worlds[actor].step(action)
            scaled = (float(reward) - self._least) / (self._most - self._least)
            if not 0 <= scaled <= 1:
                raise InputError(
                    f"The world gave the reward {reward}, outside of {self._least} .. {self._most}."
                )
            rewards[0, actor] = scaled
            if not ended:
                following[0, actor] = int(after)
        return rewards.to(rng.device), following.to(rng.device)

    def _reset(self, actor: int) -> int:
        seed = None if self._seed is None else self._seed + actor
        if actor == len(self._worlds) - 1:
            self._seed = None  # each world is seeded once
        state, _ = self._worlds[actor].reset(seed=seed)
        return int(state)


def _table(world: Any) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
    table = getattr(world.unwrapped, "P", None)
    if not isinstance(table, dict) or not table:
        raise InputError(
            f"{world} has no table P of its dynamics; gymnasium's Toy Text worlds do, except "
            "Blackjack. Learn along a trajectory instead, with WorldSimulator."
        )
    return table


def _reward_range(table: dict[int, dict[int, list[Any]]]) -> tuple[float, float]:
    """Least and most reward, 0 among them: the end's."""
    rewards = [float(o[2]) for row in table.values() for outcomes in row.values() for o in outcomes]
    least, most = min(0.0, *rewards), max(0.0, *rewards)
    if least == most:
        raise InputError("Every reward of the world is 0: there is nothing to learn.")
    return least, most
