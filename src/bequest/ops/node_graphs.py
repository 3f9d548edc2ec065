"""One graph whose nodes are classified: features, edges, labels, a sensitive attribute, a split.

PyTorch Geometric's convention: an edge goes from `edges[0]` to `edges[1]`, messages flow along it,
and a network takes `(features, edges)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bequest.errors import InputError
from bequest.ops.groups import two_groups


@dataclass(frozen=True, kw_only=True, eq=False)
class NodeGraph:
    """A graph with a label and a group for each node.

    Shapes:
        features: `(nodes, num_features)`, floating, finite.
        edges: `(2, edges)`, int64, directed; both directions where the graph has none.
        labels: `(nodes,)`, int64, from 0; 1 is the class that is good to be in.
        sensitive: `(nodes,)`, int64, 0 or 1: the group.
        train, validation, test: `(nodes,)`, bool; no node is in two, none of them is empty.

    Raises:
        InputError: For other shapes or values, an edge to a node that does not exist, a part that
            is empty or shares a node with another, one group only, or a part without a group.
    """

    features: Tensor
    edges: Tensor
    labels: Tensor
    sensitive: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor

    def __post_init__(self) -> None:
        nodes = len(self.labels)
        if self.features.ndim != 2 or len(self.features) != nodes or not nodes:
            raise InputError(
                f"{nodes} labelled nodes need features (nodes, num_features), not "
                f"{tuple(self.features.shape)}; there must be at least one node."
            )
        if not self.features.isfinite().all():
            raise InputError("A node has a feature that is NaN or infinite: fill it or drop it.")
        if self.edges.ndim != 2 or len(self.edges) != 2 or self.edges.dtype != torch.int64:
            raise InputError(
                f"edges must be int64 of (2, edges), not {self.edges.dtype} of "
                f"{tuple(self.edges.shape)}."
            )
        if self.edges.numel() and not 0 <= int(self.edges.min()) <= int(self.edges.max()) < nodes:
            raise InputError(f"An edge leads to a node that does not exist; there are {nodes}.")
        if self.labels.dtype != torch.int64 or int(self.labels.min()) < 0:
            raise InputError("labels must be int64, numbered from 0.")
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, part in parts.items():
            if part.shape != (nodes,) or part.dtype != torch.bool:
                raise InputError(
                    f"{name} must be a bool mask ({nodes},), not {part.dtype} of "
                    f"{tuple(part.shape)}."
                )
            two_groups(self.sensitive, part)
        if (self.train.int() + self.validation.int() + self.test.int() > 1).any():
            raise InputError("A node is in two of train, validation and test.")

    @property
    def num_features(self) -> int:
        """Values a node."""
        return self.features.shape[1]

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return int(self.labels.max()) + 1

    def to(self, device: torch.device) -> NodeGraph:
        """The same graph on that device."""
        return NodeGraph(**{name: value.to(device) for name, value in vars(self).items()})


def undirected(edges: Tensor) -> Tensor:
    """Both directions of each edge `(2, edges)`, each once, self-loops left out."""
    edges = edges[:, edges[0] != edges[1]]
    return torch.unique(torch.cat([edges, edges.flip(0)], dim=1), dim=1)
