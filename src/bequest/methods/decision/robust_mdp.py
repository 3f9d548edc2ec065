"""Robust Q-learning without a model: one dual number a pair, learnt by stochastic gradient.

Wenhao Yang, Han Wang, Tadashi Kozuno, Scott M. Jordan, Zhihua Zhang, "Robust Markov Decision
Processes without Model Estimation", arXiv 2302.01248, 2023. In comes a simulator of nominal
dynamics, out comes a table of action values that hold up when nature answers with worse dynamics
near by. Nature pays `penalty` for each unit of an f-divergence, at each state and action by itself;
its problem over all kernels becomes a concave one over one number `dual`, whose gradient one draw
gives without bias. So two numbers a pair are stored, and never a kernel.

With v = reward / discount + V(next state), V = max over actions of Q, and f's conjugate f*:

    J(dual, v) = dual - penalty * f*((dual - v) / penalty)             (Section 3)
    Q(s, a)    = discount * sup over dual of E[J(dual, v)]             (the robust Bellman equation)

Algorithm 1 (`generative`) draws `inner_steps` outcomes of every pair for the dual and one for Q.
Algorithm 2 (`trajectory`) moves the dual and Q of the visited pair alone, the dual faster.

Other natures: `chi2-ball` and `kl-ball` bound the divergence by `radius` instead of pricing it (a
ball and a price lead to the same values, Theorem 3.1, and the price of a ball is learnt beside the
dual); `contamination` sends the process to any state with probability `radius` (Yue Wang, Shaofeng
Zou, arXiv 2109.14523) and needs no dual; `none` is ordinary Q-learning, the control.

Differs: a reward may depend on the next state, and nature answers for it too; with the paper's
R(s, a) nothing changes, for J moves with constants.
Differs: along a trajectory, step sizes fall with the visits of a pair, not with the time divided by
the least visited pair's share, which nobody knows; so a table of visits is stored as well.
Differs: many models side by side, and `actors` that share a table; one of each is the paper's.
Trap: steps are counted from 1, and J must be evaluated on an outcome that the dual has not seen.
Trap: of the paper's two intervals for the dual this is the wider, from `-2 penalty` up.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.methods.base import Count, Discount, Fraction, NonNegative, Positive, method
from bequest.nn.tabular import QTable
from bequest.ops.divergences import Divergence, clipped_ratio, clipped_value
from bequest.ops.robust_bellman import Nature
from bequest.ops.simulators import Simulator
from bequest.ops.tabular import check_distribution, cumulative_probabilities
from bequest.run import Result, Run
from bequest.synthesis.observer import Monitor

_LEAST_PENALTY = 1e-3
"""A ball that holds every outcome has no price; a gradient needs one."""


@method
class RobustMDP:
    """Robust Q-learning by the scalar dual."""

    uncertainty: Literal["chi2", "kl", "chi2-ball", "kl-ball", "contamination", "none"] = "chi2"
    """What nature may do; the paper's experiments take chi-square with a price."""
    penalty: Positive = 1.0
    """lambda, nature's price for a unit of divergence (paper: 0.5 to 10); of a ball, the first."""
    radius: NonNegative = 0.1
    """Of a ball, or the share of contamination; without a meaning for `chi2`, `kl` and `none`."""
    discount: Discount = 0.9
    """gamma; the paper's experiments take 0.9."""
    sampling: Literal["generative", "trajectory"] = "generative"
    """Algorithm 1, every pair at every iteration, or Algorithm 2, what the actors come by."""
    iterations: Count = 1000
    """T of Algorithm 1."""
    inner_steps: Count = 100
    """T' of Algorithm 1: outcomes of a pair for its dual; without a dual, for the mean."""
    trajectory_steps: Count = 4_000_000
    """Steps of each actor in Algorithm 2."""
    warm_start: bool = False
    """Whether a dual goes on from the iteration before, as practice has it, or from 0 (theory)."""
    fresh_outcome: bool = True
    """Whether Q is moved by an outcome that the dual has not seen; otherwise by its last one."""
    dual_rate: Positive = 1.0
    """Step k of a dual is `dual_rate * penalty / k ** dual_exponent` (experiments of the paper)."""
    dual_exponent: Fraction = 0.5
    """0.5 in Algorithm 1; Algorithm 2 takes 2/3, which lets the dual move faster than Q."""
    ball_rate: Positive = 0.5
    """Of the price of a ball, falling with the root of the step: ours, the paper has no such."""
    actors: Count = 1
    """Actors of a model in Algorithm 2; the paper has one."""
    episode_steps: Count = 20
    """Steps after which an actor begins anew, so that ended trajectories go on; ours, for the
    paper's chain returns by itself. Actors do so in turn."""

    def fit(
        self,
        simulator: Simulator,
        *,
        run: Run,
        monitor: Monitor | None = None,
        behaviour: Tensor | None = None,
    ) -> Result:
        """Learns the action values of every model of `simulator`.

        Args:
            simulator: The nominal dynamics, to be sampled only.
            run: How to execute.
            monitor: Figures of the table to report during the run.
            behaviour: Of a trajectory: probabilities of actions `(states, actions)`; None is
                uniform.

        Returns:
            A `QTable` with the duals and what `monitor` says of it, and `stored_numbers`, the
            numbers that a model's tables hold.

        Raises:
            InputError: For a radius that makes no sense, a behaviour that is no distribution, or
                one with a generative model.
        """
        if behaviour is not None and self.sampling == "generative":
            raise InputError("A generative model follows no behaviour: set sampling 'trajectory'.")
        learner = Learner(self, simulator, run, behaviour)
        step = learner.iterate if self.sampling == "generative" else learner.walk
        total = self.iterations if self.sampling == "generative" else self.trajectory_steps
        figures: dict[str, float] = {}
        for t in run.steps(total, name="learning", state=learner.tables):
            if monitor is not None and run.due(times=20):
                with run.section("evaluation"):
                    run.record(**monitor(learner.table()))
            step(t)
        table = learner.table()
        if monitor is not None:
            with run.section("evaluation"):
                figures = monitor(table)
                run.record(**figures)
        return run.result(table, figures | {"stored_numbers": float(learner.stored_numbers)})


class Learner:
    """The tables of a run and one step of either algorithm on all of them."""

    def __init__(
        self, method: RobustMDP, simulator: Simulator, run: Run, behaviour: Tensor | None
    ) -> None:
        self.method, self.simulator, self.run = method, simulator, run
        self.nature = Nature(
            uncertainty=method.uncertainty, penalty=method.penalty, radius=method.radius
        )
        self.horizon = 1 / (1 - method.discount)  # the largest value
        shape = (len(simulator), simulator.num_states, simulator.num_actions)
        zeros = torch.zeros(shape, dtype=simulator.dtype, device=run.device)
        # Optimistic, as the paper has it: Q_0 = 1 / (1 - discount).
        self.tables = {"q": zeros + self.horizon}
        if self.nature.divergence is not None:
            self.tables["dual"] = zeros.clone()
        if self.nature.is_ball:
            self.tables["penalty"] = zeros + method.penalty
        if method.sampling == "trajectory":
            self.tables["visits"] = zeros.clone()
            self.tables["states"] = simulator.begin(method.actors, run.stream("start"))
        self.behaviour = _cumulative_behaviour(behaviour, zeros[0])
        self.actors = torch.arange(method.actors, device=run.device)
        self.first_states = torch.arange(shape[0], device=run.device)[:, None] * shape[1]

    @property
    def stored_numbers(self) -> int:
        """Numbers in the tables of one model."""
        tables = (table for name, table in self.tables.items() if name != "states")
        return sum(table.numel() for table in tables) // len(self.simulator)

    def table(self) -> QTable:
        """What is learnt so far; a copy."""
        copies = {name: table.clone() for name, table in self.tables.items()}
        price = copies["q"].new_full((1, 1, 1), self.method.penalty)
        return QTable(copies["q"], dual=copies.get("dual"), penalty=copies.get("penalty", price))

    # -- Algorithm 1 -----------------------------------------------------------------------------

    def iterate(self, t: int) -> None:
        """Iteration `t`, from 0, of Algorithm 1 on every pair of every model."""
        method, q = self.method, self.tables["q"]
        values = q.amax(-1).clamp(0, self.horizon)  # V_t
        rewards, states = self.simulator.draw(method.inner_steps + 1, self.run.stream("draws"))
        outcomes = rewards / method.discount
        places = states + self.first_states[..., None]
        outcomes += values.view(-1).index_select(0, places.view(-1)).view_as(outcomes)
        if self.nature.divergence is None:
            least = values.amin(1)[:, None, None]
            worth = self._without_dual(outcomes, rewards, least).mean(0)
        else:
            dual, penalty = self._inner(self.nature.divergence, outcomes[:-1], t)
            fresh = outcomes[-1 if method.fresh_outcome else -2]
            worth = self._worth(self.nature.divergence, dual, fresh, penalty)
        change = method.discount * worth - q
        q += change / (1 + (1 - method.discount) * t)  # beta_t
        self.run.log(change=change.abs().mean())

    def _inner(
        self, divergence: Divergence, outcomes: Tensor, t: int
    ) -> tuple[Tensor, Tensor | float]:
        """Projected gradient ascent on all duals, an outcome a step; the last iterate."""
        method, dual = self.method, self.tables["dual"]
        penalty: Tensor | float = self.tables.get("penalty", method.penalty)
        if not method.warm_start:
            dual.zero_()
        for k, outcome in enumerate(outcomes, start=1):
            ratio = clipped_ratio(divergence, dual, outcome, penalty)
            alpha = method.dual_rate * penalty / k**method.dual_exponent
            dual += alpha * (1 - ratio)
            self._project(dual, penalty)
            if isinstance(penalty, Tensor):
                rate = method.ball_rate / (t * len(outcomes) + k) ** 0.5
                penalty += self._repricing(divergence, ratio, penalty, rate)
                penalty.clamp_(min=_LEAST_PENALTY)
        return dual, penalty

    # -- Algorithm 2 -----------------------------------------------------------------------------

    def walk(self, t: int) -> None:
        """One step of every actor, and of the pairs that they are at."""
        method, rng = self.method, self.run.stream("draws")
        states, q = self.tables["states"], self.tables["q"].view(-1)
        actions = self._actions(torch.rand(states.shape, generator=rng, device=rng.device), states)
        pairs = ((states + self.first_states) * self.simulator.num_actions + actions).flatten()
        rewards, following = self.simulator.move(states, actions, rng)

        values = self.tables["q"].amax(-1).clamp_(0, self.horizon)  # V_t
        outcomes = (rewards / method.discount + values.gather(1, following)).flatten()
        # Actors at one pair move it by the mean of what each of them saw.
        share = 1 / torch.bincount(pairs, minlength=len(q)).index_select(0, pairs).to(q.dtype)
        visits = self.tables["visits"].view(-1)
        number = visits.index_select(0, pairs) + 1
        visits[pairs] = number
        if self.nature.divergence is None:
            least = values.amin(1, keepdim=True).expand_as(following).flatten()
            worth = self._without_dual(outcomes, rewards.flatten(), least)
        else:
            worth = self._dual_step(self.nature.divergence, pairs, outcomes, number, share)
        change = method.discount * worth - q.index_select(0, pairs)
        q.index_add_(0, pairs, share * change / (1 + (1 - method.discount) * (number - 1)))
        again = self.actors[(t + 1) % method.episode_steps :: method.episode_steps]
        states.copy_(self.simulator.restart(following, again, rng) if len(again) else following)
        self.run.log(change=change.abs().mean())

    def _actions(self, luck: Tensor, states: Tensor) -> Tensor:
        """What uniform numbers in [0, 1) make actors in these states do."""
        if self.behaviour is None:
            return (luck * self.simulator.num_actions).long()
        return (luck[..., None] >= self.behaviour[states]).sum(-1)

    def _dual_step(
        self,
        divergence: Divergence,
        pairs: Tensor,
        outcomes: Tensor,
        number: Tensor,
        share: Tensor,
    ) -> Tensor:
        """`J` at the OLD duals of the pairs; then these move."""
        method, dual = self.method, self.tables["dual"].view(-1)
        penalty: Tensor | float = method.penalty
        if self.nature.is_ball:
            penalty = self.tables["penalty"].view(-1).index_select(0, pairs)
        old = dual.index_select(0, pairs)
        ratio = clipped_ratio(divergence, old, outcomes, penalty)
        worth = self._worth(divergence, old, outcomes, penalty)
        alpha = method.dual_rate * penalty / number**method.dual_exponent
        dual.index_add_(0, pairs, share * alpha * (1 - ratio))
        if isinstance(penalty, Tensor):
            rate = share * method.ball_rate / number.sqrt()
            change = self._repricing(divergence, ratio, penalty, rate)
            self.tables["penalty"].view(-1).index_add_(0, pairs, change)
            self.tables["penalty"].clamp_(min=_LEAST_PENALTY)
        self._project(self.tables["dual"], self.tables.get("penalty", method.penalty))
        return worth

    # -- parts of both ---------------------------------------------------------------------------

    def _without_dual(self, outcomes: Tensor, rewards: Tensor, least: Tensor) -> Tensor:
        """Of `none`, the outcome; of contamination, with the least value in a share of it."""
        if self.nature.uncertainty == "none":
            return outcomes
        share, anywhere = self.nature.radius, rewards / self.method.discount + least
        return (1 - share) * outcomes + share * anywhere

    def _project(self, dual: Tensor, penalty: Tensor | float) -> None:
        """Onto Theta, in place: where the best dual can lie."""
        top = 2 * self.horizon / self.method.discount
        if isinstance(penalty, Tensor):
            torch.clamp(dual, -2 * penalty, top + 2 * penalty, out=dual)
        else:
            dual.clamp_(-2 * penalty, top + 2 * penalty)

    def _repricing(
        self, divergence: Divergence, ratio: Tensor, penalty: Tensor, rate: Tensor | float
    ) -> Tensor:
        """A gradient step of the price of a ball: up where the worst kernel lies outside.

        In proportion to the price, at most to double and at least to half of it.
        """
        excess = divergence.f(ratio) - self.nature.radius
        return penalty * (rate * excess).clamp(-0.5, 1.0)

    def _worth(
        self, divergence: Divergence, dual: Tensor, outcomes: Tensor, penalty: Tensor | float
    ) -> Tensor:
        """`J`, less what the reach of a ball is worth to nature."""
        value = clipped_value(divergence, dual, outcomes, penalty)
        return value - penalty * self.nature.radius if self.nature.is_ball else value


def _cumulative_behaviour(given: Tensor | None, like: Tensor) -> Tensor | None:
    """The policy that actors follow, `(states, actions)`, summed up; None stays uniform."""
    if given is None:
        return None
    if given.shape != like.shape:
        raise InputError(
            f"behaviour must be (states, actions) = {tuple(like.shape)}, not {tuple(given.shape)}."
        )
    check_distribution(given, "behaviour", "state")
    return cumulative_probabilities(given.to(like))
