"""Disjoint unions of graphs against loops over the graphs."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.graphs import Graphs, degree_features, dense_adjacency, ordered_pairs


def three_graphs():
    """Of 2, 1 and 3 nodes, with 2, 0 and 3 edges."""
    return Graphs(
        features=torch.arange(12.0).view(6, 2),
        edges=torch.tensor([[0, 1, 3, 3, 5], [1, 0, 4, 5, 4]]),
        owner=torch.tensor([0, 0, 1, 2, 2, 2]),
    )


def one_by_one(graphs, places):
    """Features and edges of each chosen graph by itself."""
    found = []
    for place in places:
        nodes = (graphs.owner == place).nonzero().flatten()
        inside = graphs.owner[graphs.edges[0]] == place
        found.append((graphs.features[nodes], graphs.edges[:, inside] - nodes[0]))
    return found


@pytest.mark.parametrize("places", [[0, 1, 2], [2, 0], [1], [2, 2, 1, 0, 2]])
def test_taken_graphs_are_those_of_a_loop(places):
    taken = three_graphs().take(torch.tensor(places))
    assert len(taken) == len(places)
    wanted = one_by_one(three_graphs(), places)
    for (features, edges), (want_features, want_edges) in zip(
        one_by_one(taken, range(len(places))), wanted, strict=True
    ):
        assert torch.equal(features, want_features)
        assert torch.equal(edges, want_edges)


def test_pairs_are_all_of_two_different_nodes_of_one_graph():
    sizes = torch.tensor([3, 1, 2])
    pairs, graph = ordered_pairs(sizes)
    owner = [0, 0, 0, 1, 2, 2]
    wanted = [(j, k) for k in range(6) for j in range(6) if j != k and owner[j] == owner[k]]
    assert [tuple(pair) for pair in pairs.T.tolist()] == wanted
    assert graph.tolist() == [owner[j] for j, _ in wanted]


def test_degrees_count_incoming_edges_and_the_last_column_takes_the_rest():
    edges = torch.tensor([[0, 1, 2, 0], [3, 3, 3, 1]])
    features = degree_features(edges, num_nodes=4, num_features=3)
    assert features.argmax(1).tolist() == [0, 1, 0, 2]
    assert torch.equal(features.sum(1), torch.ones(4))


def test_dense_adjacency_has_an_edge_where_there_is_one():
    dense = dense_adjacency(three_graphs())
    assert dense.shape == (3, 3, 3)
    assert dense.nonzero().tolist() == [[0, 0, 1], [0, 1, 0], [2, 0, 1], [2, 0, 2], [2, 2, 1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.zeros(5, 2)}, "6 nodes need features"),
        ({"edges": torch.zeros(2, 1)}, "must be int64"),
        ({"owner": torch.tensor([0, 0, 1, 3, 3, 3])}, "must number the graphs"),
        ({"owner": torch.tensor([0, 0, 2, 1, 1, 1])}, "must number the graphs"),
        ({"edges": torch.tensor([[0], [6]])}, "does not exist; there are 6"),
        ({"edges": torch.tensor([[0], [2]])}, "from one graph to another"),
        ({"edges": torch.tensor([[3, 0], [4, 1]])}, "grouped by graph"),
    ],
)
def test_what_is_no_union_of_graphs_is_refused(change, message):
    good = three_graphs()
    values = {"features": good.features, "edges": good.edges, "owner": good.owner}
    with pytest.raises(InputError, match=message):
        Graphs(**values | change)
