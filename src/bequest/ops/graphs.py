"""Many graphs as one: a disjoint union, the pairs of nodes within it, degrees as features.

PyTorch Geometric's convention throughout: an edge goes from `edges[0]` to `edges[1]`, and messages
flow along it. A network takes `(features, edges, owner)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Graphs:
    """A disjoint union of graphs.

    Shapes:
        features: `(nodes, num_features)`, floating.
        edges: `(2, edges)`, int64, directed, each within one graph; grouped by graph.
        owner: `(nodes,)`, int64, ascending: the graph of each node. No graph is empty.

    Raises:
        InputError: For other shapes, nodes that are not grouped, an edge between two graphs or to
            a node that does not exist, edges that are not grouped.
    """

    features: Tensor
    edges: Tensor
    owner: Tensor

    def __post_init__(self) -> None:
        nodes = len(self.owner)
        if self.features.ndim != 2 or len(self.features) != nodes or not nodes:
            raise InputError(
                f"{nodes} nodes need features (nodes, num_features), not "
                f"{tuple(self.features.shape)}; there must be at least one node."
            )
        if self.edges.ndim != 2 or len(self.edges) != 2 or self.edges.dtype != torch.int64:
            raise InputError(
                f"edges must be int64 of (2, edges), not {self.edges.dtype} of "
                f"{tuple(self.edges.shape)}."
            )
        step = self.owner.diff()
        if self.owner[0] != 0 or ((step != 0) & (step != 1)).any():
            raise InputError("owner must number the graphs 0, 1, 2, ... in ascending order.")
        if not self.edges.numel():
            return
        if self.edges.min() < 0 or self.edges.max() >= nodes:
            raise InputError(f"An edge leads to a node that does not exist; there are {nodes}.")
        source, target = self.owner[self.edges]
        if (source != target).any():
            raise InputError("An edge leads from one graph to another.")
        if (source.diff() < 0).any():
            raise InputError("Edges must be grouped by graph, like the nodes.")

    def __len__(self) -> int:
        return int(self.owner[-1]) + 1

    @property
    def num_features(self) -> int:
        """Values a node."""
        return self.features.shape[1]

    def to(self, device: torch.device) -> Graphs:
        """The same graphs on that device."""
        return Graphs(
            features=self.features.to(device),
            edges=self.edges.to(device),
            owner=self.owner.to(device),
        )

    def take(self, places: Tensor) -> Graphs:
        """The graphs at `places` `(number,)`, in that order, repeats allowed.

        Two gathers for any number of graphs: nothing is done graph by graph.
        """
        nodes = torch.bincount(self.owner, minlength=len(self))
        edges = torch.bincount(self.owner[self.edges[0]], minlength=len(self))
        owner, node, shift = _segments(nodes, places)
        of_edge, edge, _ = _segments(edges, places)
        return Graphs(
            features=self.features[node],
            edges=self.edges[:, edge] - shift[of_edge],
            owner=owner,
        )


def _segments(lengths: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of consecutive segments those at `places`, joined.

    Returns:
        For each entry its number in `places` and its old position; for each segment by how much
        its positions fall.
    """
    chosen = lengths[places]
    number = torch.repeat_interleave(chosen)
    shift = (lengths.cumsum(0) - lengths)[places] - (chosen.cumsum(0) - chosen)
    return number, torch.arange(len(number), device=number.device) + shift[number], shift


def ordered_pairs(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """All ordered pairs of two different nodes within each graph of a disjoint union.

    Args:
        sizes: Nodes of each graph `(graphs,)`, at least 1.

    Returns:
        The pairs `(2, pairs)` and the graph of each `(pairs,)`, ascending. Within a graph they
        are in the order of the second node, which for edges is the target.
    """
    owner = torch.repeat_interleave(sizes)
    partners = sizes[owner]
    target = torch.repeat_interleave(partners)
    first = (sizes.cumsum(0) - sizes)[owner] - (partners.cumsum(0) - partners)
    source = torch.arange(len(target), device=sizes.device) + first[target]
    different = source != target
    pairs = torch.stack([source[different], target[different]])
    return pairs, owner[pairs[1]]


def degree_features(edges: Tensor, *, num_nodes: int, num_features: int) -> Tensor:
    """One-hot in-degrees: what stands in for features where nodes have none.

    Args:
        edges: `(2, edges)`; self-loops count like other edges.
        num_nodes: Rows of the answer.
        num_features: Columns; the last stands for its degree and all above.

    Returns:
        `(num_nodes, num_features)`, float32.
    """
    degree = torch.bincount(edges[1], minlength=num_nodes)
    return F.one_hot(degree.clamp(max=num_features - 1), num_features).float()


def dense_adjacency(graphs: Graphs) -> Tensor:
    """1 at `[graph, i, j]` for an edge from its i-th to its j-th node, else 0.

    Returns:
        `(graphs, nodes of the largest, nodes of the largest)`, float32.
    """
    sizes = torch.bincount(graphs.owner)
    place = torch.arange(len(graphs.owner), device=sizes.device)
    place = place - (sizes.cumsum(0) - sizes)[graphs.owner]
    source, target = graphs.edges
    side = int(sizes.max())
    adjacency = torch.zeros(len(graphs), side, side, device=sizes.device)
    adjacency[graphs.owner[source], place[source], place[target]] = 1
    return adjacency
