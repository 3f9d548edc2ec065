"""Methods that assign one set to another."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
    Entry(
        id="glan-lap",
        name="GLAN",
        family="matching",
        summary="A solver of assignment problems as a layer: cost matrices of any sizes in, soft "
        "or hard one-to-one assignments out.",
        method="bequest.methods.matching.glan_lap:GLANLAP",
        study="bequest.studies.matching.glan_lap:study",
        paper=Paper(
            title="GLAN: A Graph-based Linear Assignment Network",
            authors="He Liu, Tao Wang, Congyan Lang, Songhe Feng, Yi Jin, Yidong Li",
            venue="Pattern Recognition",
            year=2024,
            arxiv="2201.02057",
        ),
    ),
)
