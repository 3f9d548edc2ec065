"""What studies of decisions share: the worlds, what may change in them, the figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bequest.data.decision import chain, garnets, gymnasium_model
from bequest.methods.decision.robust_mdp import RobustMDP
from bequest.methods.decision.robust_value_iteration import RobustValueIteration
from bequest.nn.tabular import QTable
from bequest.ops.robust_bellman import Nature, robust_backup, robust_policy_values, robust_values
from bequest.ops.shifts import redrawn, slipping
from bequest.ops.tabular import TabularModel, policy_values, stack_models
from bequest.run import Result, Run
from bequest.studies.decision.pictures import picture_curves, picture_values

ANSWER = Nature(uncertainty="kl-ball", radius=0.3)
"""The nature that policies of every arm are judged by beside the shifts: a ball in KL, though most
arms learn with a price on chi-square."""
REDRAWS = 20
"""Worlds with other probabilities that a policy has to stand."""
SLIPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of actions that are replaced by random ones."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One size of the studies.

    Attributes:
        world: From a seed to the nominal dynamics, several models side by side.
        discount: Of the world.
        redraws: Whether dynamics shift by other probabilities of the same outcomes; otherwise by
            slips.
        grid: Rows and columns of a world on a grid, for the picture.
        note: One line on the data.
    """

    world: Callable[[int], TabularModel]
    discount: float
    redraws: bool
    note: str
    grid: tuple[int, int] | None = None


def _toy_text(name: str, copies: int, slip: float) -> Callable[[int], TabularModel]:
    def world(seed: int) -> TabularModel:
        model = slipping(gymnasium_model(name), slip) if slip else gymnasium_model(name)
        return stack_models([model] * copies)

    return world


SETTINGS = {
    "default": Setting(
        world=lambda seed: garnets(64, states=20, actions=5, branching=3, seed=seed),
        discount=0.9,
        redraws=True,
        note="64 Garnets for each seed, 20 states, 5 actions, 3 successors; generated",
    ),
    "smoke": Setting(
        world=lambda seed: garnets(4, states=6, actions=3, branching=2, seed=seed),
        discount=0.8,
        redraws=True,
        note="4 Garnets, 6 states, 3 actions, 2 successors; generated, seconds",
    ),
    "chain": Setting(
        world=lambda seed: stack_models([chain()] * 20),
        discount=0.9,
        redraws=False,
        note="the paper's chain of 10 states, learnt 20 times side by side; generated",
    ),
    "frozen-lake": Setting(
        world=_toy_text("frozen-lake", 8, 0.0),
        discount=0.95,
        redraws=False,
        grid=(4, 4),
        note="gymnasium's FrozenLake 4x4, slippery, learnt 8 times; the extra `decision`",
    ),
    "cliff-walking": Setting(
        world=_toy_text("cliff-walking", 8, 0.1),
        discount=0.9,
        redraws=False,
        grid=(4, 12),
        note="gymnasium's CliffWalking, a tenth of the actions random, learnt 8 times; the extra "
        "`decision`",
    ),
    "taxi": Setting(
        world=_toy_text("taxi", 1, 0.1),
        discount=0.9,
        redraws=False,
        note="gymnasium's Taxi, a tenth of the actions random; the extra `decision`",
    ),
}
SIZES = tuple(SETTINGS)
NOTES = {size: setting.note for size, setting in SETTINGS.items()}


def execute(method: Any, size: str, run: Run) -> Result:
    """Learns under nominal dynamics, judges the greedy policy under others.

    Returns are `100 * (1 - discount) * value` at the start: percent of the best reward at every
    step. `nominal_return` is that of the dynamics learnt from; `worst_return` the least over the
    shifts, and `answered_return` that under the worst dynamics in `ANSWER`, both exact and means
    over the models. `error` is the largest deviation of Q from the exact solution of the arm's own
    problem, `distance` that of the values from the ordinary best ones.
    """
    setting = SETTINGS[size]
    model = setting.world(run.seed).to(run.device)
    with run.section("evaluation"):
        exact = _exact(method, model)
        nominal = _solve(Nature(uncertainty="none"), model, setting.discount)
        figures = _Figures(setting, model, exact, nominal)
    result: Result = method.fit(model, run=run, monitor=figures.quick)
    table = result.model
    assert isinstance(table, QTable)
    with run.section("evaluation"):
        result.metrics |= figures.full(table)
        result.metrics["negative_stored_numbers"] = -result.metrics["stored_numbers"]
        policies = {"learnt": table, "robust, exact": exact, "ordinary, exact": nominal}
        curves = figures.curves({name: policy.greedy() for name, policy in policies.items()})
        run.table("return under shift", curves)
        picture_curves(run, "return under shift", curves)
        if setting.grid is not None:
            picture_values(run, "values and policy", table, setting.grid)
    return result


class _Figures:
    """The judge of a policy."""

    def __init__(
        self, setting: Setting, model: TabularModel, exact: QTable, nominal: QTable
    ) -> None:
        self.discount = setting.discount
        self.model, self.exact, self.nominal = model, exact, nominal
        if setting.redraws:
            self.axis = [0.0, 0.25, 0.5, 0.75, 1.0]
            shifted = [
                [redrawn(model, amount, seed) for seed in range(REDRAWS)] for amount in self.axis
            ]
        else:
            self.axis = list(SLIPS)
            shifted = [[slipping(model, slip)] for slip in SLIPS]
        self.shifted = shifted

    def quick(self, table: torch.nn.Module) -> dict[str, float]:
        """Figures that cost little: for the curves of a run."""
        assert isinstance(table, QTable)
        error = (table.q - self.exact.q).abs().amax((1, 2)).mean().item()
        values = policy_values(self.model, table.greedy(), self.discount)
        return {"error": error, "nominal_return": self._return(values).mean().item()}

    def full(self, table: QTable) -> dict[str, float]:
        """All of them."""
        figures = self.quick(table)
        policy = table.greedy()
        answered = robust_policy_values(self.model, policy, ANSWER, self.discount, tolerance=1e-3)
        apart = (table.values() - self.nominal.values()).abs().amax(1)
        return figures | {
            "negative_error": -figures["error"],
            "worst_return": min(self._worst(policy)),
            "answered_return": self._return(answered).mean().item(),
            "distance": apart.mean().item(),
            "agreement": 100 * (policy == self.exact.greedy()).double().mean().item(),
        }

    def curves(self, policies: dict[str, Tensor]) -> dict[str, list[float]]:
        """The return of each policy along the shift."""
        return {"shift": self.axis} | {name: self._worst(p) for name, p in policies.items()}

    def _worst(self, policy: Tensor) -> list[float]:
        """At each amount of shift the least return over worlds, a mean over models."""
        worst = []
        for worlds in self.shifted:
            values = [policy_values(world, policy, self.discount) for world in worlds]
            returns = torch.stack([self._return(value) for value in values])
            worst.append(returns.amin(0).mean().item())
        return worst

    def _return(self, values: Tensor) -> Tensor:
        return 100 * (1 - self.discount) * (values * self.model.start).sum(-1)


def _exact(method: RobustMDP | RobustValueIteration, model: TabularModel) -> QTable:
    """The exact solution of the problem that `method` learns."""
    nature = Nature(uncertainty=method.uncertainty, penalty=method.penalty, radius=method.radius)
    return _solve(nature, model, method.discount)


def _solve(nature: Nature, model: TabularModel, discount: float) -> QTable:
    values = robust_values(model, nature, discount, tolerance=1e-6)
    return QTable(robust_backup(model, values, nature, discount))
