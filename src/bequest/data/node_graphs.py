"""Graphs with labelled nodes and a sensitive attribute: generated, from an archive, or downloaded.

>>> load_node_graph("biased", seed=0)
NodeGraphData('biased', 2000 nodes, 39692 edges, 13 features, groups of 1000 and 1000)
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bequest.data.archives import unpacked
from bequest.data.biased_graph import biased_graph
from bequest.data.cache import cache_folder
from bequest.data.download import download
from bequest.data.node_graph_catalog import NODE_GRAPHS, NodeGraphEntry
from bequest.errors import InputError, unknown
from bequest.ops.node_graphs import NodeGraph, undirected

Read = Callable[[str], bytes]
"""From a file's name to its content."""

Parts = tuple[Tensor, Tensor, Tensor, Tensor]
"""Features, edges, labels, groups."""

_DROPPED = ("GoodCustomer", "OtherLoansAtStore", "PurposeOfLoan")
_SCALED = ("Age", "LoanAmount", "LoanDuration")


@dataclass(frozen=True, kw_only=True, eq=False)
class NodeGraphData:
    """A graph and where it comes from. Shared between callers: don't write into it."""

    name: str
    graph: NodeGraph
    class_names: tuple[str, str]
    group_names: tuple[str, str]
    licence: str
    source: str

    @property
    def majority(self) -> float:
        """Share of the test nodes that always naming the largest class gets right, in [0, 1]."""
        largest = torch.bincount(self.graph.labels[self.graph.train]).argmax()
        return (self.graph.labels[self.graph.test] == largest).float().mean().item()

    def __repr__(self) -> str:
        first, second = torch.bincount(self.graph.sensitive, minlength=2).tolist()
        return (
            f"NodeGraphData('{self.name}', {len(self.graph.labels)} nodes, "
            f"{self.graph.edges.shape[1]} edges, {self.graph.num_features} features, groups of "
            f"{first} and {second})"
        )


def load_node_graph(name: str, *, seed: int = 0) -> NodeGraphData:
    """Reads a graph with labelled nodes; downloads it first where that is needed.

    Args:
        name: One of

            - `biased`: generated, needs nothing; see `bequest.data.biased_graph`;
            - `german`: from the archive `german.tar.xz` in the cache folder, from the files
              german.csv and german_edges.txt in its subfolder `german`, or downloaded there. The
              group is the gender, 1 is female, and stays among the features; the class is the
              credit risk, 1 is good. Features as in the code of NIFTY and RELIANT: without
              `OtherLoansAtStore` and `PurposeOfLoan`; `Age`, `LoanAmount` and `LoanDuration` are
              scaled to [-1, 1], the others, too, are at most of the size of a few.
        seed: Of the split; the graph is the same for all. See `split_nodes`.

    Raises:
        InputError: For an unknown name; for a graph that is neither here nor to be had, with where
            to get it; for files that are damaged or of another graph.
    """
    if name not in NODE_GRAPHS:
        raise unknown("graph with labelled nodes", name, NODE_GRAPHS)
    entry = NODE_GRAPHS[name]
    features, edges, labels, sensitive = _load(name, cache_folder())
    train, validation, test = split_nodes(labels, sensitive, seed=seed)
    return NodeGraphData(
        name=name,
        graph=NodeGraph(
            features=features,
            edges=edges,
            labels=labels,
            sensitive=sensitive,
            train=train,
            validation=validation,
            test=test,
        ),
        class_names=entry.class_names,
        group_names=entry.group_names,
        licence=entry.licence,
        source=entry.source,
    )


def split_nodes(labels: Tensor, sensitive: Tensor, *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Half of the nodes train, a quarter validates, a quarter tests; by class and group.

    Args:
        labels: `(nodes,)`.
        sensitive: `(nodes,)`.
        seed: Decides who is where.

    Returns:
        Masks `(nodes,)` of the three, in which each class of each group has its share.
    """
    draw = np.random.default_rng(seed)
    part = np.zeros(len(labels), dtype=np.int64)
    for label in torch.unique(labels).tolist():
        for group in torch.unique(sensitive).tolist():
            places = ((labels == label) & (sensitive == group)).nonzero().flatten().numpy()
            order = draw.permutation(len(places))
            part[places] = np.searchsorted([0.5, 0.75], (order + 0.5) / max(len(places), 1))
    masks = torch.from_numpy(part)
    return masks == 0, masks == 1, masks == 2


@cache
def _load(name: str, folder: Path) -> Parts:
    entry = NODE_GRAPHS[name]
    parts = read_german(_reader(entry, folder)) if entry.files else biased_graph()
    features, edges, _, _ = parts
    found = (len(features), edges.shape[1], features.shape[1])
    expected = (entry.nodes, entry.edges, entry.features)
    if found != expected:
        raise InputError(
            f"The files of '{name}' hold {found[0]} nodes, {found[1]} edges and {found[2]} "
            f"features; the published graph has {expected[0]}, {expected[1]} and {expected[2]}. "
            "Delete them and get it again."
        )
    return parts


def _reader(entry: NodeGraphEntry, folder: Path) -> Read:
    """Where the files are: in an archive, or in the cache folder."""
    collected, own = folder / entry.archive, folder / entry.name
    if collected.is_file():
        content = unpacked(collected, {f"{entry.name}/{file.name}" for file in entry.files})
        return lambda name: content[f"{entry.name}/{name}"]
    for file in entry.files:
        try:
            download(file, own, progress=True)
        except InputError as error:
            raise InputError(
                f"The graph '{entry.name}' is neither in '{collected}' nor in '{own}'. {error}\n"
                f"To bring it by hand, put {', '.join(f.name for f in entry.files)} into {own}. "
                "BEQUEST_CACHE names another cache folder."
            ) from error
    return lambda name: (own / name).read_bytes()


def read_german(read: Read) -> Parts:
    """`german.csv` and `german_edges.txt` as NIFTY has them.

    Args:
        read: From a file's name to its content.

    Returns:
        Features `(nodes, features)`, edges in both directions `(2, edges)`, labels and groups
        `(nodes,)`.

    Raises:
        InputError: For files of another form.
    """
    import pandas as pd

    try:
        table = pd.read_csv(io.BytesIO(read("german.csv")))
        table["Gender"] = [{"Female": 1, "Male": 0}[gender] for gender in table["Gender"]]
        label = torch.tensor((table["GoodCustomer"] == 1).to_numpy(), dtype=torch.int64)
        for column in _SCALED:
            low, high = table[column].min(), table[column].max()
            table[column] = 2 * (table[column] - low) / (high - low) - 1
        features = table.drop(columns=list(_DROPPED)).to_numpy(dtype=np.float32)
        pairs = np.loadtxt(io.BytesIO(read("german_edges.txt")), ndmin=2).astype(np.int64)
        edges = undirected(torch.from_numpy(pairs).T)
        group = torch.tensor(table["Gender"].to_numpy(dtype=np.int64))
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise InputError(
            f"The files of 'german' cannot be read ({type(error).__name__}: {error}). Get them "
            "again."
        ) from error
    return torch.from_numpy(features), edges, label, group
