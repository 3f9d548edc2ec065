"""One table of all graphs with labelled nodes that have a name. It imports no torch.

`bequest.data.node_graphs.load_node_graph` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

from bequest.data.catalog import RemoteFile


@dataclass(frozen=True, kw_only=True)
class NodeGraphEntry:
    """One graph: all that is known about it without reading it."""

    name: str
    summary: str
    nodes: int
    edges: int
    """Both directions of each, self-loops left out."""
    features: int
    class_names: tuple[str, str]
    """The second is the one that is good to be in."""
    group_names: tuple[str, str]
    """What the sensitive attribute says, of 0 and of 1."""
    licence: str
    source: str
    archive: str = ""
    """File in the cache folder that has the files, in a folder of the graph's name."""
    files: tuple[RemoteFile, ...] = ()


_NIFTY = (
    "https://raw.githubusercontent.com/chirag126/nifty/"
    "6c270c5ec736c5138d455609112cf6dfcc63dcca/dataset"
)

_ENTRIES = (
    NodeGraphEntry(
        name="biased",
        summary="made here: a graph whose labels, features and edges depend on the group",
        nodes=2000,
        edges=39_692,
        features=13,
        class_names=("refused", "granted"),
        group_names=("group 0", "group 1"),
        licence="Apache-2.0",
        source="generated, the same on every machine",
    ),
    NodeGraphEntry(
        name="german",
        summary="people who asked a German bank for credit, joined to those like them",
        nodes=1000,
        edges=43_484,
        features=27,
        class_names=("bad risk", "good risk"),
        group_names=("male", "female"),
        licence="MIT (the graph); CC BY 4.0 (Statlog German credit data, UCI)",
        source="H. Hofmann: Statlog (German Credit Data), UCI, 1994; as a graph by C. Agarwal, H. "
        "Lakkaraju, M. Zitnik: Towards a Unified Framework for Fair and Stable Graph "
        "Representation Learning, UAI 2021, chirag126/nifty",
        archive="german.tar.xz",
        files=(
            RemoteFile(
                name="german.csv",
                urls=(f"{_NIFTY}/german/german.csv",),
                digest="sha256:49cc549b1ca3f1650e3bdcd8cfce62313c763abfbcbf785d32b07fb76ae078ca",
            ),
            RemoteFile(
                name="german_edges.txt",
                urls=(f"{_NIFTY}/german/german_edges.txt",),
                digest="sha256:404d107384e05a14ce9befe04a710d7df0a7492095569dc35ffb5d47742ee300",
            ),
        ),
    ),
)

NODE_GRAPHS = {entry.name: entry for entry in _ENTRIES}
"""The graphs by name."""
