"""The table of all methods. Data only: importing it imports no torch.

A method is described by one `Entry`, in the module of its family. Other packages add theirs through
the entry-point group `bequest.methods`, where each entry point names an `Entry` in a module that
imports no torch.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata

from bequest.catalog import (
    compression,
    continual,
    data_free,
    decision,
    distillation,
    graphs,
    matching,
    recommendation,
    reconstruction,
    segmentation,
    self_supervised,
    unlabelled,
)
from bequest.catalog.entry import Entry, Paper
from bequest.errors import InputError, unknown

__all__ = ["Entry", "Paper", "find", "methods"]

_FAMILIES = (
    data_free,
    unlabelled,
    segmentation,
    compression,
    graphs,
    reconstruction,
    recommendation,
    decision,
    matching,
    distillation,
    self_supervised,
    continual,
)


@cache
def methods() -> dict[str, Entry]:
    """All methods by id: ours, then those of installed plug-ins.

    Raises:
        InputError: When a plug-in's entry point cannot be loaded or takes an id that exists.
    """
    table = {entry.id: entry for family in _FAMILIES for entry in family.ENTRIES}
    for point in metadata.entry_points(group="bequest.methods"):
        try:
            entry = point.load()
        except Exception as error:
            raise InputError(f"The plug-in '{point.name}' cannot be loaded: {error}") from error
        if not isinstance(entry, Entry):
            raise InputError(f"The plug-in '{point.name}' ({point.value}) is no catalog.Entry.")
        if entry.id in table:
            raise InputError(f"The plug-in '{point.name}' takes the id '{entry.id}', which exists.")
        table[entry.id] = entry
    return table


def find(id: str) -> Entry:
    """The row of that id; an unknown id gets a suggestion."""
    table = methods()
    if id not in table:
        raise unknown("method", id, table)
    return table[id]
