"""The robust operators: contraction, limits, the order of natures, balls and prices."""

from __future__ import annotations

import pytest
import torch

from bequest.data.decision import chain, garnets
from bequest.errors import InputError
from bequest.ops.robust_bellman import (
    Nature,
    equivalent_radius,
    iterations_needed,
    robust_backup,
    robust_policy_values,
    robust_values,
    worst_probabilities,
)
from bequest.ops.tabular import outcome_values, policy_values

NATURES = [
    Nature(uncertainty="none"),
    Nature(uncertainty="chi2", penalty=0.3),
    Nature(uncertainty="kl", penalty=0.3),
    Nature(uncertainty="chi2-ball", radius=0.2),
    Nature(uncertainty="kl-ball", radius=0.2),
    Nature(uncertainty="contamination", radius=0.2),
]
EACH = pytest.mark.parametrize("nature", NATURES, ids=lambda nature: nature.uncertainty)
MODEL = garnets(3, states=8, actions=3, branching=3, seed=0)


@EACH
def test_each_operator_contracts_and_falls_below_the_ordinary_one(nature):
    rng = torch.Generator().manual_seed(0)
    for _ in range(10):
        pair = 10 * torch.rand(2, 3, 8, generator=rng, dtype=torch.float64)
        first, second = (robust_backup(MODEL, values, nature, 0.9) for values in pair)
        apart = (pair[0] - pair[1]).abs().amax(1)
        assert ((first - second).abs().amax((1, 2)) <= 0.9 * apart + 1e-7).all()
        ordinary = robust_backup(MODEL, pair[0], Nature(uncertainty="none"), 0.9)
        assert (first <= ordinary + 1e-7).all()


@EACH
def test_the_fixed_point_is_one(nature):
    values = robust_values(MODEL, nature, 0.8, tolerance=1e-9)
    again = robust_backup(MODEL, values, nature, 0.8).amax(-1)
    torch.testing.assert_close(again, values, atol=1e-8, rtol=0)


@EACH
def test_the_greedy_policy_is_worth_the_best_values(nature):
    values = robust_values(MODEL, nature, 0.8)
    policy = robust_backup(MODEL, values, nature, 0.8).argmax(-1)
    worth = robust_policy_values(MODEL, policy, nature, 0.8)
    torch.testing.assert_close(worth, values, atol=1e-6, rtol=0)


def test_a_high_price_is_the_ordinary_operator():
    values = 10 * torch.rand(3, 8, dtype=torch.float64)
    ordinary = robust_backup(MODEL, values, Nature(uncertainty="none"), 0.9)
    for name in ("chi2", "kl"):
        robust = robust_backup(MODEL, values, Nature(uncertainty=name, penalty=1e7), 0.9)
        torch.testing.assert_close(robust, ordinary, atol=1e-5, rtol=0)


def test_a_low_price_is_the_least_outcome():
    values = 10 * torch.rand(3, 8, dtype=torch.float64)
    least = 0.9 * outcome_values(MODEL, values, 0.9).amin(-1)
    for name in ("chi2", "kl"):
        robust = robust_backup(MODEL, values, Nature(uncertainty=name, penalty=1e-7), 0.9)
        torch.testing.assert_close(robust, least, atol=1e-4, rtol=0)


def test_values_rise_with_the_price_to_the_ordinary_ones():
    """Ablation (a) of the sheet, exactly: the distance falls in lambda."""
    ordinary = robust_values(MODEL, Nature(uncertainty="none"), 0.9)
    apart = [
        (robust_values(MODEL, Nature(uncertainty="chi2", penalty=p), 0.9) - ordinary).abs().max()
        for p in (0.5, 1, 2, 3, 4, 5, 10)
    ]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] > 0


def test_contamination_is_the_worst_of_all_mixtures():
    values = 10 * torch.rand(3, 8, dtype=torch.float64)
    nature = Nature(uncertainty="contamination", radius=0.3)
    backup = robust_backup(MODEL, values, nature, 0.9)
    for m, s, a in [(0, 0, 0), (1, 3, 2), (2, 7, 1)]:
        p, following = MODEL.probabilities[m, s, a], MODEL.successors[m, s, a]
        nominal = (p * values[m, following]).sum()
        worst = min(0.7 * nominal + 0.3 * values[m, state] for state in range(8))
        reward = (p * MODEL.rewards[m, s, a]).sum()
        assert backup[m, s, a].item() == pytest.approx((reward + 0.9 * worst).item())


@pytest.mark.parametrize("name", ["chi2", "kl"])
def test_a_price_and_its_ball_are_worth_the_same(name):
    """Theorem 3.1: for each price a radius with the same value at the start."""
    nature = Nature(uncertainty=name, penalty=0.5)
    radius = equivalent_radius(MODEL, nature, 0.5, halvings=18)
    priced = (robust_values(MODEL, nature, 0.5) * MODEL.start).sum(-1)
    for m in range(3):
        ball = Nature(uncertainty=f"{name}-ball", radius=radius[m].item())
        value = (robust_values(MODEL, ball, 0.5, tolerance=1e-6) * MODEL.start).sum(-1)[m]
        assert value.item() == pytest.approx(priced[m].item(), abs=1e-4)


@pytest.mark.parametrize("nature", NATURES[1:5], ids=lambda nature: nature.uncertainty)
def test_the_worst_kernel_is_a_kernel_and_no_better_than_nominal(nature):
    values = 10 * torch.rand(3, 8, dtype=torch.float64)
    worst = worst_probabilities(MODEL, values, nature, 0.9)
    torch.testing.assert_close(worst.sum(-1), torch.ones(3, 8, 3).double(), atol=1e-6, rtol=0)
    outcomes = outcome_values(MODEL, values, 0.9)
    assert ((worst - MODEL.probabilities) * outcomes).sum(-1).max() <= 1e-7


def test_the_chain_by_hand():
    """The best action stays with 0.6; the value of state i from the end is a geometric series."""
    model = chain()
    values = robust_values(model, Nature(uncertainty="none"), 0.9)
    after, expected = 0.0, []
    for _ in range(9):
        after = (1 + 0.9 * 0.4 * after) / (1 - 0.9 * 0.6)
        expected.append(after)
    assert values[0].tolist() == pytest.approx([*reversed(expected), 0.0], abs=1e-7)
    policy = torch.zeros(1, 10, dtype=torch.int64)
    torch.testing.assert_close(policy_values(model, policy, 0.9), values)


def test_errors_after_enough_backups_are_small():
    assert iterations_needed(0.5, 0.25) == 3
    assert iterations_needed(0.5, 4.0) == 0


def test_natures_without_sense_are_refused():
    with pytest.raises(InputError, match="share of contamination"):
        Nature(uncertainty="contamination", radius=1.5)
    with pytest.raises(InputError, match="ball needs one above 0"):
        Nature(uncertainty="kl-ball", radius=0.0)
    with pytest.raises(InputError, match="penalty is 0"):
        Nature(uncertainty="chi2", penalty=0.0)
    with pytest.raises(InputError, match="have a price"):
        equivalent_radius(MODEL, NATURES[3], 0.9)
    with pytest.raises(InputError, match="no worst kernel"):
        worst_probabilities(MODEL, MODEL.start, NATURES[5], 0.9)
