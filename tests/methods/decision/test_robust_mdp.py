"""Robust Q-learning against exact solutions, against scalar restatements, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from bequest.data.decision import chain, garnets
from bequest.errors import InputError
from bequest.methods.base import change
from bequest.methods.decision.robust_mdp import RobustMDP
from bequest.methods.decision.robust_value_iteration import RobustValueIteration
from bequest.ops.robust_bellman import Nature, robust_backup, robust_values
from bequest.ops.simulators import FunctionSimulator
from bequest.ops.tabular import stack_models
from bequest.run import Run

MODEL = garnets(4, states=6, actions=3, branching=2, seed=3)
OURS = RobustMDP(penalty=0.4, discount=0.8, iterations=400, inner_steps=20, warm_start=True)
ALONG = change(OURS, sampling="trajectory", actors=16, trajectory_steps=2500, dual_rate=5.0,
               dual_exponent=2 / 3)  # fmt: skip


def fit(method, model=MODEL, *, run=None, **options):
    with run or Run(seed=0, device="cpu", precision="fp32") as run:
        return method.fit(model, run=run, **options)


def exact(method, model=MODEL):
    nature = Nature(uncertainty=method.uncertainty, penalty=method.penalty, radius=method.radius)
    values = robust_values(model, nature, method.discount)
    return robust_backup(model, values, nature, method.discount)


def error(method, model=MODEL, **options):
    return (fit(method, model, **options).model.q - exact(method, model)).abs().amax((1, 2)).mean()


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({"uncertainty": "none"}, 0.05),
        ({"uncertainty": "chi2"}, 0.1),
        ({"uncertainty": "kl"}, 0.2),
        ({"uncertainty": "contamination", "radius": 0.3}, 0.05),
        ({"uncertainty": "chi2-ball", "radius": 0.3}, 0.12),
        ({"uncertainty": "kl-ball", "radius": 0.2, "penalty": 1.0}, 0.15),
    ],
    ids=lambda value: value["uncertainty"] if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("method", [OURS, ALONG], ids=["generative", "trajectory"])
def test_each_nature_is_learnt_by_samples(method, changes, bound):
    """Values lie in 0 .. 5; they begin at 5."""
    assert error(change(method, **changes)) < bound


def test_the_chain_of_the_paper():
    """Section 6 at T = 200: the error of cold starts falls well below where it begins."""
    model = stack_models([chain()] * 10)
    method = RobustMDP(iterations=200)
    assert error(method, model) < 1.0
    assert (10 - exact(method, model)).amax() > 9


def test_one_iteration_is_the_papers_loops():
    """A scalar restatement of Algorithm 1 on the same draws, two iterations, cold and warm."""
    for warm in (False, True):
        method = change(OURS, iterations=2, inner_steps=4, warm_start=warm, penalty=3.0)
        result = fit(method).model
        with Run(seed=0, device="cpu") as run:
            draws = [MODEL.draw(5, run.stream("draws")) for _ in range(2)]
        for m, s, a in [(0, 0, 0), (3, 5, 2), (1, 2, 1)]:
            # Every value is 5 before the first iteration; then the restatement takes ours.
            q, dual, penalty, gamma = 5.0, 0.0, 3.0, 0.8
            values = torch.full((4, 6), 5.0).double()
            for t, (rewards, states) in enumerate(draws):
                dual = dual if warm else 0.0
                for k in range(1, 5):
                    v = rewards[k - 1, m, s, a] / gamma + values[m, states[k - 1, m, s, a]]
                    slope = 1 - max(dual + 2 * penalty - v, 0) / (2 * penalty)
                    dual = min(max(dual + penalty / k**0.5 * slope, -6), 2 * 5 / 0.8 + 6)
                v = rewards[4, m, s, a] / gamma + values[m, states[4, m, s, a]]
                worth = -(max(dual + 2 * penalty - v, 0) ** 2) / (4 * penalty) + penalty + dual
                q += (gamma * worth - q) / (1 + 0.2 * t)
                if t == 0:
                    first = fit(change(method, iterations=1)).model
                    values = first.q.amax(-1).clamp(0, 5)
                    assert first.q[m, s, a].item() == pytest.approx(float(q))
            assert result.q[m, s, a].item() == pytest.approx(float(q))
            assert result.dual[m, s, a].item() == pytest.approx(float(dual))


def test_a_trajectory_of_one_actor_is_the_papers_loop():
    """Algorithm 2 by scalars: Q with the old dual, then the dual; nothing else moves."""
    steps = []

    class Watched:
        """A model that writes down what happened."""

        def __getattr__(self, name):
            return getattr(MODEL, name)

        def __len__(self):
            return len(MODEL)

        def move(self, states, actions, rng):
            rewards, following = MODEL.move(states, actions, rng)
            steps.append((states.clone(), actions, rewards, following))
            return rewards, following

    method = change(ALONG, actors=1, trajectory_steps=60, penalty=1.5)
    table = fit(method, Watched()).model
    q = torch.full((4, 6, 3), 5.0).double()
    dual, visits = torch.zeros_like(q), torch.zeros_like(q)
    for states, actions, rewards, following in steps:
        for m in range(4):
            s, a, n = states[m, 0], actions[m, 0], following[m, 0]
            visits[m, s, a] += 1
            v = rewards[m, 0] / 0.8 + q[m, n].max().clamp(0, 5)
            reach, old = max(dual[m, s, a] + 3 - v, 0), dual[m, s, a].clone()
            worth = -(reach**2) / 6 + 1.5 + old
            beta = 1 / (1 + 0.2 * (visits[m, s, a] - 1))
            q[m, s, a] += beta * (0.8 * worth - q[m, s, a])
            moved = old + 5 * 1.5 / visits[m, s, a] ** (2 / 3) * (1 - reach / 3)
            dual[m, s, a] = moved.clamp(-3, 2 * 5 / 0.8 + 3)
    torch.testing.assert_close(table.q, q)
    torch.testing.assert_close(table.dual, dual)


def test_what_is_stored_grows_with_the_pairs_and_not_with_their_square():
    for states in (6, 12):
        model = garnets(3, states=states, actions=2, branching=2)
        few = {"iterations": 2, "trajectory_steps": 2}
        assert fit(change(OURS, **few), model).metrics["stored_numbers"] == 2 * 2 * states
        assert fit(change(ALONG, **few), model).metrics["stored_numbers"] == 3 * 2 * states
        plain = change(OURS, uncertainty="none", **few)
        assert fit(plain, model).metrics["stored_numbers"] == 2 * states
        known = RobustValueIteration(draws=5, discount=0.8)
        assert fit(known, model).metrics["stored_numbers"] == 2 * states + 2 * states**2


def test_a_pair_that_is_rarely_visited_is_learnt_slowly():
    """Ablation (d) of the sheet."""
    model = stack_models([chain(states=5, returns=True)] * 8)
    method = change(ALONG, trajectory_steps=800, actors=1, uncertainty="none")
    errors = []
    for share in (0.005, 0.5):
        behaviour = torch.tensor([[share, 1 - share]] * 5)
        errors.append(error(method, model, behaviour=behaviour))
    assert errors[0] > 1.5 * errors[1]


def test_a_plain_function_is_simulator_enough():
    luck = torch.Generator().manual_seed(0)

    def step(state, action):
        likely = torch.rand(1, generator=luck).item() < (0.9 if action else 0.5)
        return float(state), 1 if likely else 0

    world = FunctionSimulator(step, num_states=2, num_actions=2)
    table = fit(change(OURS, iterations=60), world).model
    assert table.greedy().tolist() == [[1, 1]]
    assert table(torch.tensor([[0, 1, 1]])).shape == (1, 3, 2)


def test_with_the_model_at_hand_the_solution_is_exact():
    for name in ("none", "chi2", "kl", "contamination", "chi2-ball"):
        method = RobustValueIteration(uncertainty=name, penalty=0.4, discount=0.7)
        torch.testing.assert_close(fit(method).model.q, exact(method), atol=2e-6, rtol=0)


@pytest.mark.parametrize("method", [change(OURS, iterations=6), change(ALONG, trajectory_steps=6),
                                    change(OURS, iterations=6, uncertainty="chi2-ball"),
                                    change(ALONG, trajectory_steps=6, uncertainty="kl-ball"),
                                    RobustValueIteration(draws=4, tolerance=1.0)])  # fmt: skip
def test_a_broken_off_run_goes_on_to_the_same_tables(tmp_path, method):
    options = {"seed": 0, "device": "cpu", "precision": "fp32", "checkpoint_seconds": 0.0}
    run = Run(tmp_path, **options)
    logged, seen = run.log, []

    def log(**values):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(values)
        logged(**values)

    run.log = log
    with pytest.raises(KeyboardInterrupt):
        fit(method, run=run)
    resumed = fit(method, run=Run(tmp_path, resume=True, **options)).model.state_dict()
    for name, table in fit(method).model.state_dict().items():
        assert torch.equal(table, resumed[name]), name


def test_figures_are_reported_on_the_way(tmp_path):
    run = Run(tmp_path, seed=0, device="cpu")
    method = change(OURS, iterations=40)
    result = fit(method, run=run, monitor=lambda table: {"mean": table.q.mean().item()})
    recorded = [row["mean"] for row in run.metrics.rows if "mean" in row]
    assert recorded[0] == pytest.approx(5.0)
    assert len(recorded) == 21
    assert result.metrics["mean"] == recorded[-1]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (change(OURS, uncertainty="contamination", radius=2.0), {}, "share of contamination"),
        (change(OURS, uncertainty="kl-ball", radius=0.0), {}, "ball needs one"),
        (OURS, {"behaviour": torch.full((6, 3), 1 / 3)}, "follows no behaviour"),
        (ALONG, {"behaviour": torch.full((3, 6), 1 / 6)}, r"\(6, 3\), not \(3, 6\)"),
        (ALONG, {"behaviour": torch.full((6, 3), 0.5)}, "behaviour at state"),
    ],
)
def test_what_makes_no_sense_is_refused(method, options, message):
    with pytest.raises(InputError, match=message):
        fit(method, **options)


def test_a_discount_of_one_is_refused():
    with pytest.raises(InputError, match="discount"):
        change(OURS, discount=1.0)
