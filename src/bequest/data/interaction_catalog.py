"""One table of all sets of interactions that have a name. It imports no torch.

`bequest.data.interactions.load_interactions` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class InteractionEntry:
    """Users, items and what the users did with them: all that is known without reading it."""

    name: str
    summary: str
    users: int
    """With at least five events, items with fewer left out."""
    items: int
    events: int
    category: str
    """What the category of an item is."""
    licence: str
    source: str
    archive: str = ""
    """An archive in the cache folder that it is read from; empty where there is none."""


_ENTRIES = (
    InteractionEntry(
        name="ml-100k",
        summary="films that people rated, every rating an event, inside the wheel of recbole",
        users=943,
        items=1349,
        events=99_287,
        category="the first of a film's genres, in the order of the file",
        licence="research use, no redistribution (GroupLens); to be cited",
        source="F. M. Harper, J. A. Konstan: The MovieLens Datasets, ACM TiiS 5(4), 2015",
    ),
    InteractionEntry(
        name="beauty",
        summary="beauty products that people reviewed at Amazon, without times but in their order",
        users=22_363,
        items=12_101,
        events=198_502,
        category="the most frequent of a product's attributes, which is its department",
        licence="none stated; its authors ask to be cited",
        source="J. McAuley et al.: Image-based Recommendations on Styles and Substitutes, SIGIR "
        "2015; as prepared by K. Zhou et al.: S3-Rec, CIKM 2020",
        archive="s3rec_beauty_lastfm.tar.xz",
    ),
    InteractionEntry(
        name="planted",
        summary="made here: each user follows two to four of forty groups of items",
        users=1000,
        items=1000,
        events=32_937,
        category="the group",
        licence="Apache-2.0",
        source="generated, the same on every machine",
    ),
)

INTERACTIONS = {entry.name: entry for entry in _ENTRIES}
"""The sets of interactions by name."""
