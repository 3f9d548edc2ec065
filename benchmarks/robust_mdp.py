"""Robust Q-learning: transitions a second beside plain tabular loops, and what each way stores.

    python benchmarks/robust_mdp.py --json robust_mdp.json

Garnets of 20 states, 5 actions and 3 successors. The loops are what a textbook has: Python lists,
one transition after another, `bisect` on cumulated probabilities; one for ordinary Q-learning, one
for Algorithm 2 of the paper; and one as gymnasium's pages have it, a NumPy table and its FrozenLake
(where it is installed). Beside them the same algorithms on tensors, by how many models and
actors go side by side, the smallest sizes included, where a loop is quicker. Times are of one
transition. The second table counts stored numbers of a model: two a pair, three along a trajectory,
against an estimated kernel's.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measure import arguments, default_device, environment, interleaved, rows_of, verdict, write
from rich.console import Console
from rich.table import Table

from bequest.data.decision import garnets
from bequest.methods.base import change
from bequest.methods.decision.robust_mdp import Learner, RobustMDP
from bequest.methods.decision.robust_value_iteration import RobustValueIteration
from bequest.ops.tabular import TabularModel
from bequest.run import Run

TARGET = 20.0
LOOP = "a loop, Q-learning"
ROBUST_LOOP = "a loop, robust"
GYMNASIUM = "a loop over gymnasium, Q-learning"
STATES, ACTIONS, BRANCHING, DISCOUNT, PENALTY = 20, 5, 3, 0.9, 0.2
GENERATIVE = RobustMDP(penalty=PENALTY, discount=DISCOUNT, inner_steps=20, warm_start=True)
TRAJECTORY = change(GENERATIVE, sampling="trajectory", dual_rate=5.0, dual_exponent=2 / 3)


class PlainLoop:
    """Tabular learning as a textbook has it, ordinary or robust, along one trajectory."""

    def __init__(self, model: TabularModel, *, robust: bool) -> None:
        self.successors = model.successors[0].tolist()
        self.sums = model.probabilities[0].cumsum(-1).tolist()
        self.rewards = model.rewards[0, :, 0, 0].tolist()
        self.q = [[1 / (1 - DISCOUNT)] * ACTIONS for _ in range(STATES)]
        self.dual = [[0.0] * ACTIONS for _ in range(STATES)]
        self.visits = [[0] * ACTIONS for _ in range(STATES)]
        self.state, self.luck, self.robust = 0, random.Random(0), robust

    def run(self, steps: int) -> None:
        """So many transitions."""
        draw, s = self.luck.random, self.state
        top = 2 / (1 - DISCOUNT) / DISCOUNT
        for _ in range(steps):
            a = int(draw() * ACTIONS)
            place = min(bisect.bisect_right(self.sums[s][a], draw()), BRANCHING - 1)
            following, reward = self.successors[s][a][place], self.rewards[s]
            self.visits[s][a] += 1
            number = self.visits[s][a]
            beta = 1 / (1 + (1 - DISCOUNT) * (number - 1))
            worth = reward / DISCOUNT + max(self.q[following])
            if self.robust:
                dual, outcome = self.dual[s][a], worth
                reach = max(dual + 2 * PENALTY - outcome, 0.0)
                worth = dual + PENALTY - reach * reach / (4 * PENALTY)
                step = 5 * PENALTY / number ** (2 / 3) * (1 - reach / (2 * PENALTY))
                self.dual[s][a] = min(max(dual + step, -2 * PENALTY), top + 2 * PENALTY)
            self.q[s][a] += beta * (DISCOUNT * worth - self.q[s][a])
            s = following if draw() > 0.05 else int(draw() * STATES)
        self.state = s


def gymnasium_loop() -> Callable[[int], None] | None:
    """Q-learning on FrozenLake by `env.step`; None without gymnasium."""
    try:
        import gymnasium
    except ImportError:
        return None
    world = gymnasium.make("FrozenLake-v1")
    q, luck = np.ones((16, 4)), np.random.default_rng(0)
    state = [world.reset(seed=0)[0]]

    def run(steps: int) -> None:
        s = state[0]
        for _ in range(steps):
            a = int(luck.integers(4))
            following, reward, ended, cut, _ = world.step(a)
            target = reward + (0.0 if ended else DISCOUNT * np.max(q[following]))
            q[s, a] += 0.1 * (target - q[s, a])
            s = world.reset()[0] if ended or cut else following
        state[0] = s

    return run


def ours(method: RobustMDP, models: int, device: torch.device) -> tuple[Callable[[int], Any], int]:
    """One step of the method on so many models, and how many transitions it makes."""
    model = garnets(models, states=STATES, actions=ACTIONS, branching=BRANCHING).to(device)
    learner = Learner(method, model, Run(device=str(device), precision="fp32"), None)
    counter = itertools.count()
    if method.sampling == "trajectory":
        return (lambda _: learner.walk(next(counter))), models * method.actors
    pairs = models * STATES * ACTIONS
    return (lambda _: learner.iterate(next(counter))), pairs * (method.inner_steps + 1)


def benchmark(*, sizes: tuple[int, ...] = (1, 32), repeats: int = 7, least: int = 20_000) -> Any:
    """Nanoseconds a transition of every way; a call of a loop makes `least` of them."""
    device = default_device()
    plain, learnt = change(GENERATIVE, uncertainty="none"), change(TRAJECTORY, uncertainty="none")
    one = garnets(1, states=STATES, actions=ACTIONS, branching=BRANCHING)
    calls: dict[str, Callable[[], None]] = {}
    for name, robust in ((LOOP, False), (ROBUST_LOOP, True)):
        loop = PlainLoop(one, robust=robust)
        calls[name] = lambda loop=loop: loop.run(least)  # type: ignore[misc]
    counts = dict.fromkeys(calls, least)
    field = gymnasium_loop()
    if field is not None:
        calls[GYMNASIUM], counts[GYMNASIUM] = (lambda: field(least // 10)), least // 10
    for models in sizes:
        ways = {
            "generative, Q-learning, 2 draws an update": change(plain, inner_steps=1),
            "generative, Q-learning, 21 draws an update": plain,
            "generative, robust": GENERATIVE,
            "trajectory, Q-learning": change(learnt, actors=256),
            "trajectory, robust": change(TRAJECTORY, actors=256),
            "trajectory, robust, 1 actor": TRAJECTORY,
        }
        for way, method in ways.items():
            step, transitions = ours(method, models, device)
            # Ten times the loops' number: so short a call would measure the caches.
            times = max(1, 10 * least // transitions) if transitions > 100 else 20
            name = f"{way}, {models} model{'s' * (models > 1)}"

            def call(step: Callable[[int], Any] = step, times: int = times) -> None:
                for t in range(times):
                    step(t)

            calls[name], counts[name] = call, times * transitions
    times_of = interleaved(calls, repeats=repeats, on_gpu=device.type == "cuda")
    for name, clocks in times_of.items():
        for clock, values in clocks.items():
            clocks[clock] = [1e6 * value / counts[name] for value in values]  # nanoseconds each
    rows = rows_of(times_of, LOOP)
    for row in rows:
        row["median_ns"] = row.pop("median_ms")
        row["per_second"] = 1e9 / row["median_ns"]
        row["reference"] = ROBUST_LOOP if "robust" in row["name"] else LOOP
    by_name = {row["name"]: row["median_ns"] for row in rows}
    for row in rows:
        row["speedup"] = by_name[row["reference"]] / row["median_ns"]
        if GYMNASIUM in by_name:
            row["beside_gymnasium"] = by_name[GYMNASIUM] / row["median_ns"]
    return {"rows": rows}


def memory(sizes: tuple[int, ...]) -> list[dict[str, float]]:
    """Stored numbers of a model by its states, as the runs themselves report them."""
    rows = []
    for states in sizes:
        model = garnets(1, states=states, actions=ACTIONS, branching=BRANCHING)
        ways = {
            "generative": change(GENERATIVE, iterations=1),
            "trajectory": change(TRAJECTORY, trajectory_steps=1),
            "estimated kernel": RobustValueIteration(draws=1, tolerance=5.0, discount=DISCOUNT),
        }
        row = {"states": float(states), "pairs": float(states * ACTIONS)}
        for name, method in ways.items():
            with Run(device="cpu", precision="fp32") as run:
                row[name] = method.fit(model, run=run).metrics["stored_numbers"]
        rows.append(row)
    return rows


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--models", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--states", type=int, nargs="+", default=[20, 50, 100, 200])
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    report = {"environment": environment(default_device())}
    report |= benchmark(sizes=tuple(options.models), repeats=options.repeats)
    report["memory"] = memory(tuple(options.states))
    table = Table(
        "row", "ns a transition", "million a second", "times its loop", "times gymnasium's"
    )
    table.columns[0].no_wrap = True
    for row in report["rows"]:
        figures = (row["median_ns"], row["per_second"] / 1e6, row["speedup"])
        beside = f"{row['beside_gymnasium']:.4g}" if "beside_gymnasium" in row else ""
        table.add_row(row["name"], *(f"{figure:.4g}" for figure in figures), beside)
    console.print(table)
    largest = max(options.models)
    for row in report["rows"]:
        if row["name"].endswith((f", {largest} models", f", {largest} model")):
            console.print(verdict(row["name"], row["speedup"], TARGET))
    stored = Table(*report["memory"][0], title="stored numbers of a model")
    for row in report["memory"]:
        stored.add_row(*(f"{value:,.0f}" for value in row.values()))
    console.print(stored)
    write(options.json, report)


if __name__ == "__main__":
    main()
