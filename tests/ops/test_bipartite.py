"""The sparse graph of a batch of problems: parity with the published rule, segments by hand."""

from __future__ import annotations

import pytest
import torch

from bequest.ops.assignment import pad_problems
from bequest.ops.bipartite import cheapest_pairs, neighbour_counts
from bequest.ops.segments import segment_extreme, segment_mean


@pytest.mark.parametrize(("n", "k"), [(3, 10), (10, 12), (19, 12), (20, 14), (150, 40)])
def test_neighbours_follow_the_published_rule(n, k):
    assert neighbour_counts(pad_problems([torch.zeros(n, n)])).tolist() == [k]


def test_each_row_keeps_its_cheapest_columns():
    problems = pad_problems([torch.tensor([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]]), torch.zeros(1, 1)])
    pairs = cheapest_pairs(problems, torch.tensor([2, 2]))
    assert pairs.kept[0].tolist() == [[False, True, True], [True, True, False]]
    assert pairs.problem.tolist() == [0, 0, 0, 0, 1]
    assert pairs.row.tolist() == [0, 0, 1, 1, 5]  # nodes: two rows, three columns, row, column
    assert pairs.column.tolist() == [3, 4, 2, 3, 6]
    assert pairs.node_problem.tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_both_sides_leave_no_column_alone():
    costs = torch.tensor([[0.1, 0.2, 0.9], [0.1, 0.2, 0.8], [0.1, 0.2, 0.9]])
    problems = pad_problems([costs])
    rows = cheapest_pairs(problems, torch.tensor([1])).kept
    assert rows.sum((0, 1)).tolist() == [3, 0, 0]
    both = cheapest_pairs(problems, torch.tensor([1]), sides="both").kept
    assert both.any(1).all()
    assert both[0, 1, 2]


def test_segments_by_hand():
    values = torch.tensor([[1.0], [5.0], [-3.0], [2.0]])
    segment = torch.tensor([0, 2, 0, 2])
    assert segment_mean(values, segment, count=3).flatten().tolist() == [-1.0, 0.0, 3.5]
    assert segment_extreme(values, segment, count=3, kind="amax").flatten().tolist() == [
        1.0,
        0.0,
        5.0,
    ]
    assert segment_extreme(values, segment, count=3, kind="amin").flatten().tolist() == [
        -3.0,
        0.0,
        2.0,
    ]
