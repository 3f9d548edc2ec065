"""One table of all sets of graphs that have a name. It imports no torch.

`bequest.data.graphs.load_graphs` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bequest.data.catalog import RemoteFile

COLLECTED = "mutag_dhfr.tar.xz"
"""An archive with both sets, in folders of their names; read as it is from the cache folder."""


@dataclass(frozen=True, kw_only=True)
class GraphEntry:
    """One set of graphs: all that is known about it without reading it."""

    name: str
    summary: str
    graphs: int
    """How many graphs, training and test together."""
    test: int
    """How many of them are for tests."""
    nodes: int
    """Nodes of all graphs together."""
    class_names: tuple[str, ...]
    """In the order of the labels in the files, ascending."""
    feature_type: Literal["onehot", "degree", "continuous"]
    """What a node's features are: its label, its degree, or numbers."""
    licence: str
    source: str
    prefix: str = ""
    """What the names of its files begin with; empty for a set that is made from a package."""
    files: tuple[RemoteFile, ...] = ()


_FOLDER = (
    "https://raw.githubusercontent.com/SuperVillian/GBGC/"
    "bc6a710ff57010dfccef68f5e4a294692ccbf242/dataset"
)


def _tu_files(prefix: str, digests: dict[str, str]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(
            name=f"{prefix}_{part}.txt",
            urls=(f"{_FOLDER}/{prefix}/{prefix}_{part}.txt",),
            digest=f"sha256:{digest}",
        )
        for part, digest in digests.items()
    )


_ENTRIES = (
    GraphEntry(
        name="digit-graphs",
        summary="handwritten digits as graphs of their inked pixels, inside scikit-learn",
        graphs=1797,
        test=450,
        nodes=37_151,
        class_names=tuple("0123456789"),
        feature_type="onehot",
        licence="CC BY 4.0",
        source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998",
    ),
    GraphEntry(
        name="mutag",
        summary="molecules that are mutagenic or not",
        graphs=188,
        test=57,
        nodes=3371,
        class_names=("not mutagenic", "mutagenic"),
        feature_type="onehot",
        licence="none stated; its authors ask to be cited",
        source="A. K. Debnath et al.: Structure-activity relationship of mutagenic aromatic and "
        "heteroaromatic nitro compounds, J. Med. Chem. 34, 1991; in TU format",
        prefix="MUTAG",
        files=_tu_files(
            "MUTAG",
            {
                "A": "d9656ca7493f3445d737c711710bb36fd432dddd1c0ea32e1d4713c86ebd28e2",
                "graph_indicator": "7d520a4d6c7961c0cdeabe076d8fe27e"
                "795b6d373485c9a2b744987e560a2056",
                "graph_labels": "a1518ea39ba3426bd42f57396b9c4baffe68e9adc718caeeab0119c6591a5f2c",
                "node_labels": "678f429965490e84dd27713017538c995fc05d1621beac910848b600015ee863",
            },
        ),
    ),
    GraphEntry(
        name="dhfr",
        summary="molecules that inhibit dihydrofolate reductase or not",
        graphs=756,
        test=227,
        nodes=32_075,
        class_names=("inactive", "active"),
        feature_type="onehot",
        licence="none stated; its authors ask to be cited",
        source="J. J. Sutherland, L. A. O'Brien, D. F. Weaver: Spline-fitting with a genetic "
        "algorithm, J. Chem. Inf. Comput. Sci. 43, 2003; in TU format",
        prefix="DHFR",
        files=_tu_files(
            "DHFR",
            {
                "A": "7e7f5844ed35e99174577dad18c2697be3e15c259bd12d8b8e620715d79b586b",
                "graph_indicator": "cd17a206683812cae069748bd536b2b3"
                "8304b00e90b87de9572dbc62795ada78",
                "graph_labels": "bdd65eb1813b2a68d071bc8617aed739be215f64ebaf485e27d80c6ff3d05c50",
                "node_labels": "6532c0378e3070c163d69a81a0c9ca78652e88a9becb3fd2e59f143b6dba5079",
            },
        ),
    ),
)

GRAPHS = {entry.name: entry for entry in _ENTRIES}
"""The sets of graphs by name."""
