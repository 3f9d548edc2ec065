"""The groups of a sensitive attribute, and graphs with labelled nodes."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.groups import two_groups
from bequest.ops.node_graphs import NodeGraph, undirected

S = torch.tensor([0, 1, 1, 0, 1, 0])


def test_positions_of_both_groups():
    assert [group.tolist() for group in two_groups(S)] == [[0, 3, 5], [1, 2, 4]]
    within = torch.tensor([True, True, False, False, True, True])
    assert [group.tolist() for group in two_groups(S, within)] == [[0, 5], [1, 4]]
    assert [group.tolist() for group in two_groups(S.float())] == [[0, 3, 5], [1, 2, 4]]


def test_one_value_or_an_empty_group_is_said_with_what_to_do():
    with pytest.raises(InputError, match="is 1 for all 4 samples: with one group"):
        two_groups(torch.ones(4, dtype=torch.int64))
    with pytest.raises(InputError, match=r"values \[0, 2\]; expected 0 and 1"):
        two_groups(torch.tensor([0, 2]))
    with pytest.raises(InputError, match="Group 0 is empty among the 3 samples"):
        two_groups(S, S == 1)
    with pytest.raises(InputError, match="one value a sample"):
        two_groups(S[None])
    with pytest.raises(InputError, match="absent"):
        two_groups(torch.empty(0))


def test_both_directions_once_without_loops():
    edges = undirected(torch.tensor([[0, 1, 2, 2, 0], [1, 0, 2, 3, 1]]))
    assert edges.T.tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]


def graph(**changes):
    parts = torch.tensor([0, 0, 1, 1, 2, 2])
    values = {
        "features": torch.zeros(6, 3),
        "edges": torch.tensor([[0, 1], [1, 0]]),
        "labels": torch.tensor([0, 1, 0, 1, 0, 1]),
        "sensitive": torch.tensor([0, 1, 1, 0, 1, 0]),
        "train": parts == 0,
        "validation": parts == 1,
        "test": parts == 2,
    }
    return NodeGraph(**values | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": torch.zeros(5, 3)}, "6 labelled nodes need features"),
        ({"features": torch.full((6, 3), torch.nan)}, "NaN or infinite"),
        ({"edges": torch.zeros(2, 3)}, "edges must be int64"),
        ({"edges": torch.tensor([[0], [6]])}, "node that does not exist"),
        ({"labels": torch.tensor([0, -1, 0, 1, 0, 1])}, "numbered from 0"),
        ({"sensitive": torch.zeros(6, dtype=torch.int64)}, "with one group"),
        ({"sensitive": torch.tensor([0, 0, 1, 0, 1, 0])}, "Group 1 is empty among the 2"),
        ({"train": torch.zeros(6, dtype=torch.bool)}, "Group 0 is empty among the 0"),
        ({"train": torch.zeros(6)}, "train must be a bool mask"),
        ({"train": torch.ones(6, dtype=torch.bool)}, "in two of train"),
    ],
)
def test_a_graph_that_cannot_be_used_is_refused(changes, message):
    assert graph().num_classes == 2
    assert graph().to(torch.device("cpu")).num_features == 3
    with pytest.raises(InputError, match=message):
        graph(**changes)
