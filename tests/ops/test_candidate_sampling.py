"""Log-uniform probabilities, and that distinct draws are those of repeated drawing."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from bequest.ops.candidate_sampling import by_frequency, draw_distinct, log_uniform_probabilities


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_log_uniform_is_the_formula_and_sums_to_one():
    p = log_uniform_probabilities(5)
    expected = [(math.log(r + 2) - math.log(r + 1)) / math.log(6) for r in range(5)]
    assert p.tolist() == pytest.approx(expected)
    assert log_uniform_probabilities(100_000).sum().item() == pytest.approx(1, abs=1e-5)


def test_the_most_frequent_class_has_the_lowest_rank():
    p = log_uniform_probabilities(4)
    assert by_frequency(torch.tensor([2, 9, 2, 0])).tolist() == p[[1, 0, 2, 3]].tolist()


def test_small_draws_have_the_distribution_of_drawing_without_putting_back():
    p = torch.tensor([0.5, 0.3, 0.15, 0.05])
    expected = dict.fromkeys(itertools.combinations(range(4), 2), 0.0)
    for a, b in itertools.permutations(range(4), 2):  # a first, then b of what is left
        expected[min(a, b), max(a, b)] += (p[a] * p[b] / (1 - p[a])).item()
    generator, number = rng(), 20_000
    counts = dict.fromkeys(expected, 0)
    for _ in range(number):
        drawn, _ = draw_distinct(p, 2, generator=generator)
        counts[tuple(sorted(drawn.tolist()))] += 1
    for pair, probability in expected.items():
        deviation = math.sqrt(probability * (1 - probability) / number)
        assert counts[pair] / number == pytest.approx(probability, abs=5 * deviation), pair


def test_weighted_sums_over_a_sample_are_unbiased():
    p, value = log_uniform_probabilities(50), torch.rand(50, generator=rng(1)) + 0.5
    generator, estimates = rng(2), []
    for _ in range(4000):
        drawn, q = draw_distinct(p, 20, generator=generator)
        assert len(drawn.unique()) == 20
        estimates.append((value[drawn] / q[drawn]).sum())
    estimates = torch.stack(estimates)
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - value.sum()) < 4 * error
    assert error < 0.02 * value.sum()


def test_probabilities_are_those_of_rejection_with_as_many_tries():
    """`1 - (1 - p)^tries` for the tries that make as many distinct classes on average."""
    p = log_uniform_probabilities(1000)
    generator = rng()
    q = torch.stack([draw_distinct(p, 200, generator=generator)[1] for _ in range(200)]).mean(0)
    tries = torch.arange(1, 2000.0)
    distinct = (1 - (1 - p[:, None]) ** tries).sum(0)
    expected = 1 - (1 - p) ** tries[(distinct - 200).abs().argmin()]
    assert q.tolist() == pytest.approx(expected.tolist(), rel=0.03)


def test_all_classes_are_drawn_with_certainty_where_that_many_are_wanted():
    drawn, q = draw_distinct(log_uniform_probabilities(7), 9, generator=rng())
    assert drawn.tolist() == list(range(7))
    assert q.tolist() == [1.0] * 7
