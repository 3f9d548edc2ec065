"""Labelled graphs, whole in memory: from a package, from the cache folder, or downloaded into it.

>>> load_graphs("digit-graphs")
GraphData('digit-graphs', 1347 + 450 graphs, 8 features a node, 10 classes)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.data import embedded
from bequest.data.archives import unpacked
from bequest.data.cache import cache_folder
from bequest.data.download import download
from bequest.data.graph_catalog import COLLECTED, GRAPHS, GraphEntry
from bequest.data.splits import stratified_split
from bequest.data.tu_format import FeatureType, read_tu
from bequest.errors import InputError, unknown
from bequest.ops.graphs import Graphs

_INK = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphData:
    """Training and test graphs with their labels. Shared between callers: don't write into it.

    Shapes:
        labels: `(graphs,)`, int64, in `0 .. num_classes - 1`.
    """

    name: str
    train: Graphs
    train_labels: Tensor
    test: Graphs
    test_labels: Tensor
    class_names: tuple[str, ...]
    feature_type: FeatureType
    licence: str
    source: str

    @property
    def num_features(self) -> int:
        """Values a node."""
        return self.train.num_features

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def majority(self) -> float:
        """Share of the test graphs that always naming the largest class gets right, in [0, 1]."""
        largest = torch.bincount(self.train_labels).argmax()
        return (self.test_labels == largest).float().mean().item()

    def __repr__(self) -> str:
        return (
            f"GraphData('{self.name}', {len(self.train)} + {len(self.test)} graphs, "
            f"{self.num_features} features a node, {self.num_classes} classes)"
        )


def load_graphs(name: str) -> GraphData:
    """Reads a set of graphs; downloads it first where that is needed.

    A process reads a set once: the next call gives the same object. The split into training and
    test graphs is the same on every machine (:func:`bequest.data.splits.stratified_split`).

    Args:
        name: One of

            - `digit-graphs`: the 1,797 digits of scikit-learn. A node is a pixel with at least
              half of the ink, its features are its row, one-hot; edges join neighbours, diagonal
              ones included. Columns are told by the edges alone;
            - `mutag`, `dhfr`: molecules, a node's features are its atom, one-hot. Read from the
              archive `mutag_dhfr.tar.xz` in the cache folder, from unpacked TU files in its
              subfolder of that name, or downloaded there.

    Raises:
        InputError: For an unknown name; for a set that is neither here nor to be had, with where
            to get it; for files that are damaged or of another set.
    """
    if name not in GRAPHS:
        raise unknown("set of graphs", name, GRAPHS)
    return _load(name, cache_folder())


@cache
def _load(name: str, folder: Path) -> GraphData:
    entry = GRAPHS[name]
    graphs, labels = _read(entry, folder) if entry.prefix else _digits()
    found = (len(graphs), len(graphs.owner), int(labels.max()) + 1)
    expected = (entry.graphs, entry.nodes, len(entry.class_names))
    if found != expected:
        raise InputError(
            f"The files of '{name}' hold {found[0]} graphs, {found[1]} nodes and {found[2]} "
            f"classes; the published set has {expected[0]}, {expected[1]} and {expected[2]}. "
            "Delete them and get it again."
        )
    train, test = stratified_split(labels, test=entry.test)
    return GraphData(
        name=name,
        train=graphs.take(train),
        train_labels=labels[train],
        test=graphs.take(test),
        test_labels=labels[test],
        class_names=entry.class_names,
        feature_type=entry.feature_type,
        licence=entry.licence,
        source=entry.source,
    )


def _read(entry: GraphEntry, folder: Path) -> tuple[Graphs, Tensor]:
    collected, own = folder / COLLECTED, folder / entry.name
    if collected.is_file():
        content = unpacked(collected, {f"{entry.prefix}/{file.name}" for file in entry.files})
        return read_tu(
            lambda name: content[f"{entry.prefix}/{name}"],
            entry.prefix,
            feature_type=entry.feature_type,
        )
    for file in entry.files:
        try:
            download(file, own, progress=True)
        except InputError as error:
            raise InputError(
                f"The graphs of '{entry.name}' are neither in '{collected}' nor in '{own}'. "
                f"{error}\nTo bring them by hand, put the TU files {entry.prefix}_*.txt into "
                f"{own}. BEQUEST_CACHE names another cache folder."
            ) from error
    return read_tu(
        lambda name: (own / name).read_bytes(), entry.prefix, feature_type=entry.feature_type
    )


def _digits() -> tuple[Graphs, Tensor]:
    images, labels = embedded.digits()
    return pixel_graphs(images[:, 0]), labels


def pixel_graphs(images: Tensor) -> Graphs:
    """A graph for each picture: its inked pixels, joined to their inked neighbours.

    Args:
        images: Grey pictures `(number, height, width)`, uint8. Each has at least one pixel of 128
            or more.

    Returns:
        One node a pixel of 128 or more, row by row; its features are its row, one-hot. Edges both
        ways between pixels that touch, at a corner too.
    """
    inked = images >= _INK
    owner, row, _ = inked.nonzero(as_tuple=True)
    number = torch.full(images.shape, -1)
    number[inked] = torch.arange(len(owner))
    padded = F.pad(number, (1, 1, 1, 1), value=-1)
    height, width = images.shape[1:]
    shifts = [(down, right) for down in range(3) for right in range(3) if (down, right) != (1, 1)]
    neighbours = torch.stack(
        [padded[:, down : down + height, right : right + width][inked] for down, right in shifts],
        dim=1,
    )
    source, which = (neighbours >= 0).nonzero(as_tuple=True)
    return Graphs(
        features=F.one_hot(row, height).float(),
        edges=torch.stack([source, neighbours[source, which]]),
        owner=owner,
    )
