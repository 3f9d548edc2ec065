"""Solvers as layers: soft sums, one-to-one answers, what partial ones leave, bad costs."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.nn.assignment_network import PairScorer
from bequest.nn.assignment_solvers import (
    CostedSolver,
    DiscreteSolver,
    LearnedSolver,
    SinkhornSolver,
)
from bequest.nn.pair_costs import PairCosts
from bequest.ops.assignment import (
    assignment_cost,
    check_assignments,
    exact_assignment,
    pad_problems,
)

SHAPES = [(5, 5), (3, 6), (6, 3), (1, 1), (14, 14)]


def solver(name, *, partial=False, **options):
    if name == "learned":
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return LearnedSolver(PairScorer(layers=1), partial=partial, **options)
    if name == "sinkhorn":
        return SinkhornSolver(temperature=0.05, partial=partial, **options)
    if name == "gumbel":
        rng = torch.Generator().manual_seed(0)
        return SinkhornSolver(temperature=0.05, noise=0.05, partial=partial, rng=rng)
    return DiscreteSolver(name, partial=partial)


@pytest.fixture
def problems():
    rng = torch.Generator().manual_seed(0)
    return pad_problems([torch.rand(shape, generator=rng) for shape in SHAPES])


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("name", ["learned", "sinkhorn", "gumbel", "greedy", "exact"])
def test_answers_are_one_to_one(problems, name, partial):
    model = solver(name, partial=partial).eval()
    check_assignments(model.assign(problems), problems, partial=partial)
    soft = model(problems)
    assert soft.shape == problems.values.shape
    assert soft[~problems.mask].eq(0).all()
    assert ((soft >= 0) & (soft <= 1 + 1e-5)).all()


@pytest.mark.parametrize("name", ["learned", "sinkhorn"])
@pytest.mark.parametrize("partial", [False, True])
def test_columns_sum_to_1_or_less(problems, name, partial):
    options = {"iterations": 200}
    soft = solver(name, partial=partial, **options)(problems)
    assert soft.sum(1).max() <= 1 + 1e-4
    assert soft.sum(2).max() <= 1 + 1e-4
    if not partial:
        shorter = torch.minimum(problems.rows, problems.columns).float()
        torch.testing.assert_close(soft.sum((1, 2)), shorter, atol=1e-2, rtol=0)


def test_the_published_rounds_of_the_learned_solver():
    """train.py: 1e-9 off the graph, then five times rows, columns."""
    costs = torch.rand(12, 12, generator=torch.Generator().manual_seed(2))
    problems = pad_problems([costs])
    model = solver("learned", base=3, step=0)
    soft, kept = model.soft_and_kept(problems)
    assert kept.sum(2).eq(3).all()
    from bequest.ops.bipartite import pairs_of

    matrix = torch.full((12, 12), 1e-9)
    matrix[kept[0]] = model.scorer(problems, pairs_of(kept, problems))
    for _ in range(5):
        matrix = matrix / matrix.sum(1, keepdim=True)
        matrix = matrix / matrix.sum(0, keepdim=True)
    torch.testing.assert_close(soft[0], matrix)


def test_a_cold_sinkhorn_of_many_rounds_is_near_the_optimum(problems):
    cold = SinkhornSolver(temperature=0.005, iterations=300)
    optimum = assignment_cost(exact_assignment(problems), problems.costs)
    reached = assignment_cost(cold.assign(problems), problems.costs)
    torch.testing.assert_close(reached, optimum, rtol=0.02, atol=0.02)


def test_more_draws_of_noise_never_cost_more(problems):
    few, many = solver("gumbel").eval(), solver("gumbel").eval()
    few.samples = 1
    cost = [assignment_cost(m.assign(problems), problems.costs) for m in (few, many)]
    assert (cost[1] <= cost[0] + 1e-6).all()


@pytest.mark.parametrize("kind", ["greedy", "exact"])
def test_partial_rules_keep_to_the_gate(kind):
    problems = pad_problems([torch.tensor([[0.1, 0.2], [0.2, 0.9]])])
    whole = DiscreteSolver(kind).assign(problems).tolist()
    assert whole == ([[0, 1]] if kind == "greedy" else [[1, 0]])
    gated = DiscreteSolver(kind, partial=True).assign(problems).tolist()
    assert gated == ([[0, -1]] if kind == "greedy" else [[1, 0]])


def test_the_exact_finisher_takes_the_largest_sum():
    problems = pad_problems([torch.rand(6, 6, generator=torch.Generator().manual_seed(1))])
    model = solver("learned", finish="exact")
    found, soft = model.assign(problems), model(problems)
    greedy = solver("learned").assign(problems)
    total = [soft[0].gather(1, f[0][:, None]).sum().item() for f in (found, greedy)]
    assert total[0] >= total[1] - 1e-6


def test_costs_outside_the_unit_interval_are_refused():
    with pytest.raises(InputError, match="Scale them"):
        solver("learned").assign(pad_problems([torch.tensor([[2.0]])]))


def test_features_become_costs_and_gradients_come_back():
    rng = torch.Generator().manual_seed(0)
    problems = pad_problems([torch.rand(3, 4, 5, generator=rng), torch.rand(2, 2, 5)])
    for name in ("learned", "sinkhorn"):
        costs = PairCosts(5)
        model = CostedSolver(costs, solver(name, partial=True))
        model(problems).square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in costs.parameters())
        assert any(p.grad.abs().sum() > 0 for p in costs.parameters())


def test_a_network_that_gives_no_cost_a_pair_is_refused():
    problems = pad_problems([torch.rand(3, 4, 5)])
    with pytest.raises(InputError, match="one cost a pair"):
        CostedSolver(torch.nn.Linear(5, 2), DiscreteSolver("exact"))(problems)


def test_noise_needs_a_generator():
    with pytest.raises(InputError, match="random generator"):
        SinkhornSolver(temperature=1.0, noise=0.1)
