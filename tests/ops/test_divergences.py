"""The scalar dual against scipy's search over distributions, closed forms and limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from bequest.ops.divergences import (
    CHI2,
    DIVERGENCES,
    KL,
    ball_penalty,
    best_dual,
    clipped_ratio,
    clipped_value,
    density_ratio,
    divergence_of,
    dual_value,
    worst_distribution,
    worst_expectation,
    worst_in_ball,
)

BOTH = pytest.mark.parametrize("divergence", [CHI2, KL], ids=["chi2", "kl"])


def problem(seed, count=5, scale=3.0):
    rng = torch.Generator().manual_seed(seed)
    outcomes = scale * torch.rand(count, generator=rng, dtype=torch.float64)
    probabilities = torch.rand(count, generator=rng, dtype=torch.float64) + 0.05
    return outcomes, probabilities / probabilities.sum()


def search(cost, probabilities, *, inside=()):
    """The least `cost(q)` over distributions, by sequential quadratic programming."""
    constraints = [{"type": "eq", "fun": lambda q: q.sum() - 1}, *inside]
    found = minimize(
        cost,
        probabilities,
        bounds=[(0, 1)] * len(probabilities),
        constraints=constraints,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return found.fun


def distance(name, q, p):
    q = np.maximum(q, 1e-300)
    return ((q / p - 1) ** 2 * p).sum() if name == "chi2" else (q * np.log(q / p)).sum()


@pytest.mark.parametrize("name", list(DIVERGENCES))
@pytest.mark.parametrize("penalty", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_dual_is_the_least_over_all_distributions(name, penalty, seed):
    outcomes, p = problem(seed)
    v, nominal = outcomes.numpy(), p.numpy()
    least = search(lambda q: q @ v + penalty * distance(name, q, nominal), nominal)
    exact = worst_expectation(DIVERGENCES[name], outcomes, p, penalty)
    assert exact.item() == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("name", list(DIVERGENCES))
@pytest.mark.parametrize("radius", [0.05, 0.5])
def test_a_ball_is_the_least_over_its_distributions(name, radius):
    outcomes, p = problem(2)
    v, nominal = outcomes.numpy(), p.numpy()
    inside = {"type": "ineq", "fun": lambda q: radius - distance(name, q, nominal)}
    least = search(lambda q: q @ v, nominal, inside=[inside])
    exact = worst_in_ball(DIVERGENCES[name], outcomes, p, radius)
    assert exact.item() == pytest.approx(least, abs=1e-6)
    penalty = ball_penalty(DIVERGENCES[name], outcomes, p, radius)
    worst = worst_distribution(DIVERGENCES[name], outcomes, p, penalty)
    assert divergence_of(DIVERGENCES[name], worst, p).item() == pytest.approx(radius, rel=1e-4)


def test_chi_square_by_hand():
    """Nothing is cut off: mean - variance / (4 penalty), the dual at the mean."""
    outcomes, p = torch.tensor([0.0, 1.0]).double(), torch.tensor([0.5, 0.5]).double()
    assert best_dual(CHI2, outcomes, p, 1.0).item() == pytest.approx(0.5)
    assert worst_expectation(CHI2, outcomes, p, 1.0).item() == pytest.approx(0.5 - 0.25 / 4)
    assert worst_distribution(CHI2, outcomes, p, 1.0).tolist() == pytest.approx([0.625, 0.375])
    # A ball that cuts nothing off: mean - sqrt(radius * variance).
    assert worst_in_ball(CHI2, outcomes, p, 0.04).item() == pytest.approx(0.5 - 0.2 * 0.5)


def test_chi_square_is_the_papers_formula():
    dual, outcome, penalty = torch.randn(3, 50, dtype=torch.float64).unbind()
    penalty = penalty.abs() + 0.1
    cut = (dual + 2 * penalty - outcome).clamp(min=0)
    value, ratio = -(cut**2) / (4 * penalty) + penalty + dual, cut / (2 * penalty)
    torch.testing.assert_close(dual_value(CHI2, dual, outcome, penalty), value)
    torch.testing.assert_close(density_ratio(CHI2, dual, outcome, penalty), ratio)


@pytest.mark.parametrize("penalty", [0.3, 2.0])
def test_kl_is_the_soft_minimum(penalty):
    outcomes, p = problem(3)
    soft = -penalty * (p * (-outcomes / penalty).exp()).sum().log()
    torch.testing.assert_close(worst_expectation(KL, outcomes, p, penalty), soft)
    torch.testing.assert_close(best_dual(KL, outcomes, p, penalty), soft + penalty)


@BOTH
def test_the_best_dual_has_no_gradient_and_its_kernel_sums_to_one(divergence):
    outcomes, p = problem(4, count=7)
    dual = best_dual(divergence, outcomes, p, 0.4)
    ratio = density_ratio(divergence, dual, outcomes, 0.4)
    assert (p * ratio).sum().item() == pytest.approx(1, abs=1e-12)
    around = [dual_value(divergence, dual + d, outcomes, 0.4) @ p for d in (-0.1, 0.0, 0.1)]
    assert around[1] > max(around[0], around[2])


@BOTH
def test_what_steps_use_is_the_gradient_of_what_they_climb(divergence):
    outcomes = torch.linspace(-300, 300, 61, dtype=torch.float64)
    dual = torch.zeros(61, dtype=torch.float64, requires_grad=True)
    clipped_value(divergence, dual, outcomes, 0.5).sum().backward()
    ratio = clipped_ratio(divergence, dual.detach(), outcomes, 0.5)
    torch.testing.assert_close(dual.grad, 1 - ratio)
    assert ratio.max().item() == pytest.approx(100)
    near = slice(28, 33) if divergence is CHI2 else slice(30, 33)
    exact = dual_value(divergence, dual.detach(), outcomes, 0.5)
    torch.testing.assert_close(
        clipped_value(divergence, dual.detach(), outcomes, 0.5)[near], exact[near]
    )


@BOTH
def test_a_high_price_gives_the_mean_and_a_low_one_the_least(divergence):
    outcomes, p = problem(5)
    mean = (outcomes * p).sum().item()
    assert worst_expectation(divergence, outcomes, p, 1e6).item() == pytest.approx(mean, abs=1e-5)
    least = outcomes.min().item()
    assert worst_expectation(divergence, outcomes, p, 1e-6).item() == pytest.approx(least, abs=1e-4)
    assert worst_in_ball(divergence, outcomes, p, 1e3).item() == pytest.approx(least, abs=1e-4)
    values = [worst_expectation(divergence, outcomes, p, 2.0**k).item() for k in range(-4, 6)]
    assert values == sorted(values)


@BOTH
def test_impossible_outcomes_change_nothing(divergence):
    outcomes, p = problem(6)
    more = torch.cat([outcomes, torch.tensor([-50.0]).double()])
    padded = torch.cat([p, torch.zeros(1).double()])
    torch.testing.assert_close(
        worst_expectation(divergence, more, padded, 0.3),
        worst_expectation(divergence, outcomes, p, 0.3),
    )
    torch.testing.assert_close(
        worst_in_ball(divergence, more, padded, 0.3), worst_in_ball(divergence, outcomes, p, 0.3)
    )
    assert worst_distribution(divergence, more, padded, 0.3)[-1] == 0


@BOTH
def test_the_best_dual_moves_no_further_than_the_outcomes(divergence):
    """Lemma 5.1 of the paper; and by the same amount where all move alike."""
    for seed in range(20):
        first, p = problem(seed)
        second, _ = problem(seed + 100)
        duals = [best_dual(divergence, outcomes, p, 0.7) for outcomes in (first, second)]
        assert (duals[0] - duals[1]).abs() <= (first - second).abs().max() + 1e-12
        moved = best_dual(divergence, first + 3, p, 0.7)
        torch.testing.assert_close(moved, duals[0] + 3)


@BOTH
def test_a_batch_is_its_rows(divergence):
    outcomes = torch.rand(3, 4, 5, dtype=torch.float64)
    p = torch.rand(3, 4, 5, dtype=torch.float64)
    p = p / p.sum(-1, keepdim=True)
    prices = torch.rand(3, 4, dtype=torch.float64) + 0.1
    batched = worst_expectation(divergence, outcomes, p, prices)
    ball = worst_in_ball(divergence, outcomes, p, 0.2)
    for place in np.ndindex(3, 4):
        row = (outcomes[place], p[place])
        torch.testing.assert_close(
            batched[place], worst_expectation(divergence, *row, prices[place])
        )
        torch.testing.assert_close(ball[place], worst_in_ball(divergence, *row, 0.2))
