"""Sets with a name that are no images: graphs, facts, interactions. Imports no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from bequest.data.graph_catalog import GRAPHS
from bequest.data.interaction_catalog import INTERACTIONS
from bequest.data.knowledge_catalog import KNOWLEDGE_GRAPHS
from bequest.data.node_graph_catalog import NODE_GRAPHS


@dataclass(frozen=True, kw_only=True)
class Described:
    """What people want to know of a set before they get it."""

    name: str
    kind: str
    summary: str
    licence: str
    source: str
    reader: str
    """Where the function is that reads it, and fetches it where that can be."""


_TABLES = (
    ("graphs", "bequest.data.graphs:load_graphs", GRAPHS),
    ("a graph with labelled nodes", "bequest.data.node_graphs:load_node_graph", NODE_GRAPHS),
    ("a knowledge graph", "bequest.data.knowledge:load_knowledge_graph", KNOWLEDGE_GRAPHS),
    ("interactions", "bequest.data.interactions:load_interactions", INTERACTIONS),
)

BEYOND_IMAGES = {
    entry.name: Described(
        name=entry.name,
        kind=kind,
        summary=entry.summary,
        licence=entry.licence,
        source=entry.source,
        reader=reader,
    )
    for kind, reader, table in _TABLES
    for entry in table.values()
}
"""The sets by name, in the order of the tables."""


def read(name: str) -> object:
    """Reads one of them; downloads it first where that is needed.

    Raises:
        InputError: For a set that is neither here nor to be had, with where to get it.
    """
    module, function = BEYOND_IMAGES[name].reader.split(":")
    data: object = getattr(importlib.import_module(module), function)(name)
    return data
