"""GLAN on small matrices and on small features: it learns, repeats, resumes, refuses."""

from __future__ import annotations

import math

import pytest
import torch

from bequest.errors import InputError
from bequest.losses.assignment import focal_assignment_loss, sparsity_penalty, sum_penalty
from bequest.methods.base import change
from bequest.methods.matching.fixed_solver import FixedSolver
from bequest.methods.matching.glan_lap import GLANLAP
from bequest.metrics.assignment import assignment_figures
from bequest.nn.assignment_solvers import CostedSolver
from bequest.nn.pair_costs import PairCosts
from bequest.ops.assignment import PairBatch, assignment_matrix, exact_assignment, pad_problems
from bequest.run import Run
from bequest.testing import fingerprint

TINY = GLANLAP(layers=1, epochs=2, batch_size=8, validations=2)
LEARNS = FixedSolver(epochs=20, batch_size=8)


def matrices(count, seed=0):
    rng = torch.Generator().manual_seed(seed)
    shapes = [(3, 3), (2, 4), (5, 3), (4, 4)]
    return pad_problems([torch.rand(shapes[i % 4], generator=rng) for i in range(count)])


def features(count, seed=0):
    """Rows and columns with hidden places; the first feature says how far they are apart."""
    rng = torch.Generator().manual_seed(seed)
    problems, answers = [], []
    for number in range(count):
        places = torch.rand(4, generator=rng)
        order = torch.randperm(4, generator=rng)[: 2 + number % 3]
        apart = (places[:, None] - places[order][None]).abs()
        noise = torch.rand(apart.shape, generator=rng)
        problems.append(torch.stack([apart, noise], 2))
        answers.append([order.tolist().index(i) if i in order else -1 for i in range(4)])
    return pad_problems(problems), torch.tensor(answers)


def fit(method=TINY, problems=None, assignments=None, *, run=None, **options):
    with run or Run(seed=0, device="cpu", precision="fp32") as run:
        problems = matrices(16) if problems is None else problems
        return method.fit(problems, assignments, run=run, **options)


@pytest.mark.parametrize(
    "changed",
    [
        {"gates": False},
        {"statistics": "batch"},
        {"complete": True},
        {"sides": "both", "neighbours": 1},
        {"objective": "cost"},
        {"objective": "mota"},
        {"finish": "exact"},
        {"scaling_rounds": 0},
        {"penalty_growth": 0.0},
    ],
    ids=str,
)
def test_every_option_trains_to_one_to_one_answers(changed):
    result = fit(change(TINY, **changed))
    problems = matrices(8, seed=1)
    found = result.model.assign(problems)
    assert (found >= 0).sum(1).tolist() == torch.minimum(problems.rows, problems.columns).tolist()
    assert all(map(math.isfinite, result.metrics.values()))


def test_the_loss_is_the_papers():
    problems = matrices(8)
    found = exact_assignment(problems)
    model = CostedSolver(None, TINY.solver())
    soft, kept = model.solver.soft_and_kept(problems)
    target = assignment_matrix(found, soft.shape[2])
    neighbours = torch.minimum(problems.columns, torch.tensor(10))
    main = focal_assignment_loss(soft, target, kept, neighbours)
    extra = sum_penalty(soft, target, problems) + sparsity_penalty(soft, target, problems)
    loss = TINY.loss(model, problems, found, rate=0.03)
    torch.testing.assert_close(loss, (main + 0.03 * extra).mean())


def test_it_learns_small_problems():
    rng = torch.Generator().manual_seed(0)
    problems = pad_problems([torch.rand(4, 4, generator=rng) for _ in range(128)])
    method = GLANLAP(layers=2, epochs=12, batch_size=16)
    before = assignment_figures(
        fit(change(method, epochs=1)).model, problems, exact_assignment(problems)
    )
    after = fit(method, problems)
    figures = assignment_figures(after.model, problems, exact_assignment(problems))
    assert figures["accuracy"] > max(before["accuracy"], 60)


def test_validation_keeps_the_best_weights():
    held = matrices(8, seed=2)
    best = exact_assignment(held)
    result = fit(validation=(held, best))
    found = assignment_figures(result.model, held, best)["accuracy"]
    assert found == pytest.approx(result.metrics["validation_accuracy"])


@pytest.mark.parametrize("method", [TINY, LEARNS, change(LEARNS, solver="exact")])
def test_costs_are_learnt_through_every_solver(method):
    problems, answers = features(32)
    network = PairCosts(2)
    before = fingerprint(network)
    result = fit(method, problems, answers, cost_network=network, partial=True)
    assert fingerprint(network) != before
    assert result.model.cost_network is network
    assert set(result.model.assign(problems).unique().tolist()) <= {-1, 0, 1, 2, 3}


def test_a_run_repeats_and_resumes_to_the_last_bit(tmp_path):
    options = {"seed": 0, "device": "cpu", "precision": "fp32", "checkpoint_seconds": 0.0}
    held = matrices(8, seed=2)
    more = {"validation": (held, exact_assignment(held))}
    whole = fit(**more)
    assert fingerprint(whole.model) == fingerprint(fit(**more).model)
    run = Run(tmp_path, **options)
    logged, seen = run.log, []

    def log(**values):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(values)
        logged(**values)

    run.log = log
    with pytest.raises(KeyboardInterrupt):
        fit(run=run, **more)
    resumed = fit(run=Run(tmp_path, resume=True, **options), **more)
    assert fingerprint(resumed.model) == fingerprint(whole.model)


def test_what_cannot_work_is_refused_before_any_work():
    with pytest.raises(InputError, match="Scale them"):
        big = matrices(8)
        fit(problems=PairBatch(values=big.values * 3, rows=big.rows, columns=big.columns))
    with pytest.raises(InputError, match="fewer than a batch_size of 8"):
        fit(problems=matrices(4))
    with pytest.raises(InputError, match="by which cost_network"):
        fit(problems=features(8)[0])
    with pytest.raises(InputError, match="must be given: they teach it"):
        fit(problems=features(8)[0], cost_network=PairCosts(2))
    with pytest.raises(InputError, match="partial=True"):
        fit(problems=features(8)[0], assignments=features(8)[1] * 0 - 1, cost_network=PairCosts(2))
    with pytest.raises(InputError, match="edge_width is 5"):
        fit(change(TINY, edge_width=5))


@pytest.mark.parametrize("solver", ["sinkhorn", "gumbel-sinkhorn", "greedy", "exact"])
def test_rules_without_weights(solver):
    problems = matrices(16)
    result = fit(FixedSolver(solver=solver), problems)
    figures = assignment_figures(result.model, problems, exact_assignment(problems))
    assert figures["accuracy"] > (99.9 if solver == "exact" else 40)


def test_the_temperature_is_chosen_on_the_training_problems():
    chosen = fit(FixedSolver()).model.solver.temperature.item()
    assert any(chosen == pytest.approx(t) for t in (0.01, 0.03, 0.1, 0.3, 1.0))
    assert fit(FixedSolver(temperature=0.2)).model.solver.temperature.item() == pytest.approx(0.2)
