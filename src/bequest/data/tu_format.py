"""Graphs in the text format of the TU Dortmund collection (Morris et al., TUDataset, 2020).

A set `DS` is a few text files. Their lines are, with nodes and graphs numbered from 1:

- `DS_A.txt`: an edge, `source, target`; undirected edges stand there twice;
- `DS_graph_indicator.txt`: the graph of a node;
- `DS_graph_labels.txt`: the class of a graph, any whole numbers;
- `DS_node_labels.txt`: the kind of a node, any whole numbers (optional);
- `DS_node_attributes.txt`: numbers of a node (optional).

Classes and kinds become 0, 1, ... in ascending order. Self-loops, edge labels and edge attributes
are left out: convolutions that want self-loops add them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.ops.graphs import Graphs, degree_features

FeatureType = Literal["onehot", "degree", "continuous"]


def read_tu(
    read: Callable[[str], bytes], prefix: str, *, feature_type: FeatureType, num_degrees: int = 32
) -> tuple[Graphs, Tensor]:
    """Graphs and their classes.

    Args:
        read: From a file name such as `MUTAG_A.txt` to its content.
        prefix: The name of the set in its file names.
        feature_type: A node's features: its label one-hot, its degree one-hot, or its attributes.
        num_degrees: Columns of degree features; the last stands for all degrees from there on.

    Returns:
        All graphs, in the order of the files, and their labels `(graphs,)`, int64.

    Raises:
        InputError: For files that are no such text, disagree in length, or name what is not there;
            for an unknown feature type.
    """
    if feature_type not in ("onehot", "degree", "continuous"):
        raise InputError(
            f"There is no feature type '{feature_type}': give onehot, degree or continuous."
        )

    def table(part: str, *, dtype: type = np.int64) -> np.ndarray:
        name = f"{prefix}_{part}.txt"
        try:
            text = io.StringIO(read(name).decode("ascii"))
            return np.loadtxt(text, delimiter=",", dtype=dtype, ndmin=2)
        except (ValueError, UnicodeDecodeError) as error:
            raise InputError(f"{name} is no table of numbers ({error}).") from error

    indicator = table("graph_indicator")[:, 0]
    labels = np.unique(table("graph_labels")[:, 0], return_inverse=True)[1]
    nodes, graphs = len(indicator), len(labels)
    if (np.diff(indicator) < 0).any() or set(indicator) != set(range(1, graphs + 1)):
        raise InputError(
            f"{prefix}_graph_indicator.txt must name the graphs 1 to {graphs}, each at least once "
            "and in ascending order."
        )
    pairs = table("A") - 1
    if pairs.shape[1] != 2 or (pairs.size and not 0 <= pairs.min() <= pairs.max() < nodes):
        raise InputError(f"{prefix}_A.txt must hold pairs of the nodes 1 to {nodes}.")
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    pairs = pairs[np.argsort(indicator[pairs[:, 0]], kind="stable")]
    edges = torch.from_numpy(np.ascontiguousarray(pairs.T))
    if feature_type == "degree":
        features = degree_features(edges, num_nodes=nodes, num_features=num_degrees)
    else:
        part = "node_labels" if feature_type == "onehot" else "node_attributes"
        values = table(part, dtype=np.int64 if feature_type == "onehot" else np.float64)
        if len(values) != nodes:
            raise InputError(f"{prefix}_{part}.txt has {len(values)} lines for {nodes} nodes.")
        if feature_type == "onehot":
            kinds = np.unique(values[:, 0], return_inverse=True)[1]
            features = F.one_hot(torch.from_numpy(kinds)).float()
        else:
            features = torch.from_numpy(values).float()
    owner = torch.from_numpy(indicator - 1)
    return Graphs(features=features, edges=edges, owner=owner), torch.from_numpy(labels)
