"""Ragged problems, exact and greedy assignments, beside what loops and brute force find."""

from __future__ import annotations

import itertools
import sys

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.assignment import (
    PairBatch,
    assignment_cost,
    assignment_matrix,
    check_assignments,
    complete_assignment,
    exact_assignment,
    greedy_assignment,
    pad_problems,
    with_unmatched,
)

SHAPES = [(4, 4), (3, 5), (5, 3), (1, 4), (4, 1), (1, 1)]


@pytest.fixture
def problems():
    rng = torch.Generator().manual_seed(0)
    return pad_problems([torch.rand(shape, generator=rng) for shape in SHAPES])


def cheapest(costs):
    """Every assignment tried."""
    if len(costs) > len(costs.T):
        return cheapest(costs.T)
    choices = itertools.permutations(range(costs.shape[1]), len(costs))
    return min(sum(costs[i, j].item() for i, j in enumerate(c)) for c in choices)


def one_by_one(scores):
    """The largest entry, its row and column struck, and so on."""
    scores, found = scores.clone(), torch.full((len(scores),), -1)
    for _ in range(min(scores.shape)):
        row, column = divmod(int(scores.argmax()), scores.shape[1])
        found[row] = column
        scores[row], scores[:, column] = -torch.inf, -torch.inf
    return found


@pytest.mark.parametrize("solver", ["scipy", "lapx"])
def test_the_exact_assignment_costs_what_brute_force_finds(problems, solver):
    if solver == "lapx":
        pytest.importorskip("lap", reason="lapx is in bequest[matching]")
    found = exact_assignment(problems, solver=solver)
    check_assignments(found, problems, partial=False)
    reached = assignment_cost(found, problems.costs)
    for place, (height, width) in enumerate(SHAPES):
        assert reached[place].item() == pytest.approx(
            cheapest(problems.costs[place, :height, :width]), abs=1e-6
        )


def test_lapx_where_it_is_missing(problems, monkeypatch):
    monkeypatch.setitem(sys.modules, "lap", None)
    with pytest.raises(InputError, match=r"bequest\[matching\]"):
        exact_assignment(problems, solver="lapx")


@pytest.mark.parametrize("ties", [False, True])
def test_greedy_in_rounds_is_greedy_one_by_one(ties):
    rng = torch.Generator().manual_seed(1)
    matrices = [torch.rand(n, m, generator=rng) for n, m in [(9, 9), (4, 9), (9, 2)] * 4]
    matrices = [(4 * m).round() for m in matrices] if ties else matrices
    problems = pad_problems(matrices)
    found = greedy_assignment(problems.values, problems.mask)
    for row, matrix in zip(found, matrices):
        assert torch.equal(row[: len(matrix)], one_by_one(matrix))
        assert row[len(matrix) :].eq(-1).all()


def test_greedy_takes_nothing_that_is_not_allowed():
    scores = torch.tensor([[[9.0, 1.0], [8.0, 2.0]]])
    allowed = torch.tensor([[[False, True], [True, False]]])
    assert greedy_assignment(scores, allowed).tolist() == [[1, 0]]


def test_what_is_left_is_matched_by_cost():
    problems = pad_problems([torch.tensor([[1.0, 2.0, 9.0], [1.0, 5.0, 3.0], [7.0, 1.0, 1.0]])])
    found = torch.tensor([[-1, -1, 1]])
    assert complete_assignment(found, problems).tolist() == [[0, 2, 1]]


def test_staying_unmatched_is_one_row_and_one_column_more():
    problems = pad_problems([torch.full((2, 1), 0.2), torch.full((1, 2), 0.3)])
    larger, border = with_unmatched(problems, 0.5)
    assert larger.rows.tolist() == [3, 2]
    assert larger.columns.tolist() == [2, 3]
    assert larger.values[0, :, :2].flatten().tolist() == pytest.approx([0.2, 0.5, 0.2] + 3 * [0.5])
    assert border.sum((1, 2)).tolist() == [4, 4]
    assert border[1, 1].tolist() == [True, True, True]


def test_taking_problems_cuts_the_padding(problems):
    taken = problems.take(torch.tensor([3, 1]))
    assert taken.values.shape == (2, 3, 5)
    assert torch.equal(taken.values[0, :1, :4], problems.values[3, :1, :4])


def test_matrices_of_assignments():
    matrix = assignment_matrix(torch.tensor([[1, -1]]), 2)
    assert matrix.tolist() == [[[False, True], [False, False]]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(2, 2), "values must be floating"),
        (torch.zeros(1, 2, 2, dtype=torch.int64), "values must be floating"),
        (torch.full((1, 2, 2), torch.nan), "NaN or infinity"),
        (torch.full((1, 2, 2), torch.inf), "NaN or infinity"),
    ],
)
def test_values_that_are_no_problem(values, message):
    with pytest.raises(InputError, match=message):
        PairBatch(values=values, rows=torch.tensor([2]), columns=torch.tensor([2]))


def test_empty_problems_are_refused():
    with pytest.raises(InputError, match="no problem"):
        pad_problems([])
    with pytest.raises(InputError, match="Leave empty problems out"):
        pad_problems([torch.rand(2, 2), torch.rand(0, 3)])
    with pytest.raises(InputError, match="equally many features"):
        pad_problems([torch.rand(2, 2), torch.rand(2, 2, 3)])


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([[0, 1, 2]], "must be int64 of"),
        ([[0, 2]], "does not exist"),
        ([[-2, 0]], "does not exist"),
        ([[1, 1]], "for two rows"),
        ([[1, -1]], "partial=True"),
    ],
)
def test_assignments_that_are_none(found, message):
    problems = pad_problems([torch.rand(2, 2)])
    with pytest.raises(InputError, match=message):
        check_assignments(torch.tensor(found), problems, partial=False)
    if "partial" in message:
        check_assignments(torch.tensor(found), problems, partial=True)
