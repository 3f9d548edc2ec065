"""What a model-free method may ask of an environment, and how a plain function becomes one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from bequest.errors import InputError


class Simulator(Protocol):
    """Finite environments of equal sizes that can be sampled; rewards in [0, 1].

    `bequest.ops.tabular.TabularModel` is one. A method that learns along a trajectory never calls
    `draw`; one with a generative model calls nothing else.
    """

    @property
    def num_states(self) -> int:
        """States of each environment, ended ones included."""

    @property
    def num_actions(self) -> int:
        """Actions of each state."""

    @property
    def dtype(self) -> torch.dtype:
        """Of rewards; tables take it over."""

    def __len__(self) -> int:
        """How many environments."""

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rewards and next states of every pair: `(count, environments, states, actions)`."""

    def begin(self, actors: int, rng: torch.Generator) -> Tensor:
        """First states of trajectories: `(environments, actors)`."""

    def restart(self, states: Tensor, actors: Tensor, rng: torch.Generator) -> Tensor:
        """The states `(environments, actors)` with some actors back at a start: `(number,)`."""

    def move(self, states: Tensor, actions: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rewards and next states of one step of every actor: `(environments, actors)`."""


class FunctionSimulator:
    """One environment given as a plain function `step(state, action) -> (reward, next_state)`.

    The function is called once a transition: as slow as it is.

    Args:
        step: Draws one transition, by its own random numbers; rewards in [0, 1].
        num_states: States are `0 .. num_states - 1`.
        num_actions: Likewise.
        start: Probability of each state to begin in; None is uniform.

    Raises:
        InputError: For a size below 1 or a start of another length; later, for what `step` gives
            out of range.
    """

    dtype = torch.float64

    def __init__(
        self,
        step: Callable[[int, int], tuple[float, int]],
        *,
        num_states: int,
        num_actions: int,
        start: Sequence[float] | None = None,
    ) -> None:
        if num_states < 1 or num_actions < 1:
            raise InputError(
                f"{num_states} states and {num_actions} actions: both must be 1 or more."
            )
        start = start or [1 / num_states] * num_states
        if len(start) != num_states or min(start) < 0 or not math.isclose(sum(start), 1):
            raise InputError(f"start must be {num_states} probabilities of sum 1, not {start}.")
        self.num_states, self.num_actions = num_states, num_actions
        self._step, self._start = step, torch.tensor(start, dtype=self.dtype)

    def __len__(self) -> int:
        return 1

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` calls of the function for every pair."""
        states = torch.arange(self.num_states).repeat_interleave(self.num_actions).repeat(count)
        actions = torch.arange(self.num_actions).repeat(count * self.num_states)
        rewards, following = self.move(states[None], actions[None], rng)
        shape = (count, 1, self.num_states, self.num_actions)
        return rewards.view(shape), following.view(shape)

    def begin(self, actors: int, rng: torch.Generator) -> Tensor:
        """States `(1, actors)`, drawn from `start`."""
        start = self._start.to(rng.device)
        return torch.multinomial(start, actors, replacement=True, generator=rng)[None]

    def restart(self, states: Tensor, actors: Tensor, rng: torch.Generator) -> Tensor:
        """The states, with the `actors` `(number,)` back at a drawn start."""
        return states.index_copy(1, actors, self.begin(len(actors), rng))

    def move(self, states: Tensor, actions: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """One call of the function an actor."""
        pairs = zip(states.flatten().tolist(), actions.flatten().tolist(), strict=True)
        rewards, following = zip(*(self._step(state, action) for state, action in pairs))
        for reward, state in zip(rewards, following):
            if not 0 <= reward <= 1 or not 0 <= state < self.num_states:
                raise InputError(
                    f"step gave the reward {reward} and the next state {state}; rewards must be in "
                    f"[0, 1], states in 0 .. {self.num_states - 1}."
                )
        return (
            torch.tensor([rewards], dtype=self.dtype, device=rng.device),
            torch.tensor([following], dtype=torch.int64, device=rng.device),
        )
