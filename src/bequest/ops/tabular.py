"""Finite Markov decision processes as tensors, several at once.

A model lists for each state and action its possible successors, so that a sparse one stays small;
a dense one lists all states. Everything here is exact or a plain draw; nothing learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bequest.errors import InputError

_MANY = 16
"""Up to so many outcomes, comparing with each is quicker than a search."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TabularModel:
    """Markov decision processes of equal sizes, with rewards in [0, 1] and no end.

    What ends is written as a state that never leaves itself. A model is a simulator too: `draw`
    and `move` are all that a model-free method may use of it.

    Shapes:
        successors: `(models, states, actions, outcomes)`, int64, in `0 .. states - 1`.
        probabilities: The same, floating, at least 0, of sum 1 over the outcomes.
        rewards: The same: what comes with an outcome, in [0, 1].
        start: `(models, states)`, of sum 1: where a trajectory begins.

    Raises:
        InputError: For anything else.
    """

    successors: Tensor
    probabilities: Tensor
    rewards: Tensor
    start: Tensor

    def __post_init__(self) -> None:
        shape = self.successors.shape
        if self.successors.ndim != 4 or self.successors.numel() == 0:
            raise InputError(
                "successors must be (models, states, actions, outcomes) with at least one of each, "
                f"not {tuple(shape)}."
            )
        for name in ("probabilities", "rewards"):
            if getattr(self, name).shape != shape:
                given = tuple(getattr(self, name).shape)
                raise InputError(f"{name} must have successors' shape {tuple(shape)}, not {given}.")
        if self.start.shape != shape[:2]:
            raise InputError(
                f"start must be (models, states) = {tuple(shape[:2])}, not "
                f"{tuple(self.start.shape)}."
            )
        if self.successors.min() < 0 or self.successors.max() >= shape[1]:
            raise InputError(f"A successor does not exist; states are 0 to {shape[1] - 1}.")
        check_distribution(self.probabilities, "transition row", "model, state, action")
        check_distribution(self.start, "start", "model")
        # Written so that NaN fails.
        if not bool(((self.rewards >= 0) & (self.rewards <= 1)).all()):
            raise InputError(
                f"Rewards lie in {self.rewards.min():.4g} .. {self.rewards.max():.4g}; scale them "
                "into [0, 1], those of ended states too, which keeps the order of all policies."
            )

    def __len__(self) -> int:
        return self.successors.shape[0]

    @property
    def num_states(self) -> int:
        """States of each model."""
        return self.successors.shape[1]

    @property
    def num_actions(self) -> int:
        """Actions of each state."""
        return self.successors.shape[2]

    @property
    def dtype(self) -> torch.dtype:
        """Of probabilities and rewards."""
        return self.probabilities.dtype

    @property
    def stored_numbers(self) -> int:
        """Probabilities of all models: what a stored kernel costs."""
        return self.probabilities.numel()

    def to(self, device: torch.device) -> TabularModel:
        """The same models on that device."""
        return TabularModel(
            successors=self.successors.to(device),
            probabilities=self.probabilities.to(device),
            rewards=self.rewards.to(device),
            start=self.start.to(device),
        )

    def draw(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The generative model: independent outcomes of every pair.

        Returns:
            Rewards and next states `(count, models, states, actions)`.
        """
        shape = (count, *self.successors.shape[:3])
        luck = torch.rand(shape, generator=rng, device=rng.device, dtype=self.dtype)
        pairs = torch.arange(luck[0].numel(), device=rng.device)
        flat = self._outcomes(luck.view(count, -1), pairs).view(-1)
        return (
            self.rewards.view(-1).index_select(0, flat).view(shape),
            self.successors.view(-1).index_select(0, flat).view(shape),
        )

    def begin(self, actors: int, rng: torch.Generator) -> Tensor:
        """States `(models, actors)`, drawn from `start`."""
        luck = torch.rand(len(self), actors, generator=rng, device=rng.device, dtype=self.dtype)
        return torch.searchsorted(self._cumulative_start, luck, right=True)

    def restart(self, states: Tensor, actors: Tensor, rng: torch.Generator) -> Tensor:
        """The states, with the `actors` `(number,)` of every model back at a drawn start."""
        return states.index_copy(1, actors, self.begin(len(actors), rng))

    def move(self, states: Tensor, actions: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """One step of every actor.

        Args:
            states: `(models, actors)`.
            actions: The same.
            rng: Of the model's device.

        Returns:
            Rewards and next states, `(models, actors)`.
        """
        pairs = ((states + self._first_states) * self.num_actions + actions).view(-1)
        luck = torch.rand(len(pairs), generator=rng, device=rng.device, dtype=self.dtype)
        flat = self._outcomes(luck, pairs)
        return (
            self.rewards.view(-1).index_select(0, flat).view_as(states),
            self.successors.view(-1).index_select(0, flat).view_as(states),
        )

    def _outcomes(self, luck: Tensor, pairs: Tensor) -> Tensor:
        """The outcomes that uniform numbers choose, as places in a row of all outcomes.

        Args:
            luck: `(..., pairs)`, in [0, 1).
            pairs: `(pairs,)`, places in a row of all pairs.
        """
        width = self.successors.shape[-1]
        if width > _MANY:
            # One search for all: the sums of pair i lie between i and i + 1.
            return torch.searchsorted(
                self._all_sums, luck.double().clamp(max=1 - 1e-9) + pairs, right=True
            )
        number = torch.zeros(luck.shape, dtype=torch.uint8, device=luck.device)
        for edge in self._edges:
            number += luck >= edge.index_select(0, pairs)
        return number + pairs * width

    @cached_property
    def _edges(self) -> Tensor:
        """Sums of probabilities up to each outcome but the last: `(outcomes - 1, pairs)`."""
        sums = cumulative_probabilities(self.probabilities)
        return sums[..., :-1].flatten(0, 2).T.contiguous()

    @cached_property
    def _all_sums(self) -> Tensor:
        """Sums of probabilities of all pairs in one ascending row."""
        sums = cumulative_probabilities(self.probabilities).clamp(max=1).flatten(0, 2).double()
        return (sums + torch.arange(len(sums), device=sums.device)[:, None]).view(-1)

    @cached_property
    def _cumulative_start(self) -> Tensor:
        return cumulative_probabilities(self.start)

    @cached_property
    def _first_states(self) -> Tensor:
        """Of each model, in a row of the states of all: `(models, 1)`."""
        models = torch.arange(len(self), device=self.successors.device)
        return models[:, None] * self.num_states


def cumulative_probabilities(probabilities: Tensor) -> Tensor:
    """Sums along the last axis: how many are at most a uniform number is a draw.

    The last possible outcome and all behind it lie beyond any number in [0, 1), so that neither
    rounding nor impossible outcomes at the end are ever drawn.
    """
    cumulative = probabilities.cumsum(-1)
    return cumulative.masked_fill(cumulative >= cumulative[..., -1:] - 1e-9, 2.0)


def check_distribution(probabilities: Tensor, what: str, place: str) -> None:
    """Refuses rows along the last axis that are no distribution.

    Args:
        probabilities: `(..., outcomes)`.
        what: Name of a row in the message.
        place: What the leading axes are.

    Raises:
        InputError: With the first row that is none.
    """
    # Written so that NaN fails.
    good = (probabilities >= 0).all(-1) & ((probabilities.sum(-1) - 1).abs() <= 1e-5)
    if not bool(good.all()):
        worst = tuple((~good).nonzero()[0].tolist())
        row = probabilities[worst]
        raise InputError(
            f"The {what} at {place} = {worst} is no distribution: its sum is {row.sum():.6g}, its "
            f"least value {row.min():.6g}. Give probabilities of at least 0 with sum 1."
        )


def dense_model(kernel: Tensor, rewards: Tensor, start: Tensor | None = None) -> TabularModel:
    """A model from a full kernel.

    Args:
        kernel: `(states, actions, states)`, or with an axis of models in front.
        rewards: `(states, actions)` or `(states, actions, states)`, likewise; in [0, 1].
        start: `(states,)`, likewise; None is uniform.

    Raises:
        InputError: For other shapes, rows that are no distribution, rewards out of [0, 1].
    """
    if kernel.ndim not in (3, 4) or kernel.shape[-3] != kernel.shape[-1]:
        raise InputError(
            f"kernel must be (states, actions, states), not {tuple(kernel.shape)}; models first, "
            "where there are several."
        )
    if kernel.ndim == 3:
        kernel, rewards = kernel[None], rewards[None]
        start = None if start is None else start[None]
    if rewards.shape == kernel.shape[:-1]:
        rewards = rewards[..., None]
    states = kernel.shape[-1]
    if rewards.shape not in (kernel.shape, (*kernel.shape[:-1], 1)):
        raise InputError(
            f"rewards must be (states, actions) or (states, actions, states), not "
            f"{tuple(rewards.shape)}."
        )
    if start is None:
        start = torch.full(kernel.shape[:2], 1 / states, dtype=kernel.dtype, device=kernel.device)
    return TabularModel(
        successors=torch.arange(states, device=kernel.device).expand(kernel.shape).contiguous(),
        probabilities=kernel,
        rewards=rewards.expand(kernel.shape).contiguous(),
        start=start,
    )


def stack_models(models: Sequence[TabularModel]) -> TabularModel:
    """Models of equal sizes side by side."""
    return TabularModel(
        successors=torch.cat([model.successors for model in models]),
        probabilities=torch.cat([model.probabilities for model in models]),
        rewards=torch.cat([model.rewards for model in models]),
        start=torch.cat([model.start for model in models]),
    )


def empirical_model(model: TabularModel, count: int, rng: torch.Generator) -> TabularModel:
    """What `count` draws of every pair say about the dynamics: frequencies of next states.

    Full, `states` numbers a pair: who does not know the successors must keep room for each.
    """
    rewards, states = model.draw(count, rng)
    shape = (*model.successors.shape[:3], model.num_states)
    states, rewards = states.movedim(0, -1), rewards.movedim(0, -1)
    kernel = torch.zeros(shape, dtype=model.dtype, device=states.device)
    visits = kernel.scatter_add(-1, states, torch.ones_like(rewards))
    sums = kernel.scatter_add(-1, states, rewards)
    return dense_model(visits / count, sums / visits.clamp(min=1), model.start)


def outcome_values(model: TabularModel, values: Tensor, discount: float) -> Tensor:
    """`reward / discount + values[next state]` of each outcome: `(models, states, actions, -1)`.

    The discounted expectation of it is the Bellman backup. Rewards inside, so that whoever chooses
    the next state also answers for the reward that comes with it.

    Args:
        model: The dynamics.
        values: `(models, states)`.
        discount: In (0, 1).
    """
    shape = model.successors.shape
    return model.rewards / discount + values.gather(1, model.successors.flatten(1)).view(shape)


def policy_values(model: TabularModel, actions: Tensor, discount: float) -> Tensor:
    """The exact discounted values of a deterministic policy, from one linear system a model.

    Args:
        model: The dynamics.
        actions: `(models, states)`, int64.
        discount: In (0, 1).

    Returns:
        `(models, states)`.
    """
    places = actions[:, :, None, None].expand(-1, -1, 1, model.successors.shape[-1])
    successors, probabilities, rewards = (
        table.gather(2, places).squeeze(2)
        for table in (model.successors, model.probabilities, model.rewards)
    )
    states = model.num_states
    kernel = torch.zeros(len(model), states, states, dtype=model.dtype, device=actions.device)
    kernel.scatter_add_(-1, successors, probabilities)
    eye = torch.eye(states, dtype=model.dtype, device=actions.device)
    values: Tensor = torch.linalg.solve(eye - discount * kernel, (probabilities * rewards).sum(-1))
    return values
