"""Methods that make a network smaller."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
    Entry(
        id="dfbf",
        name="DFBF",
        family="compression",
        summary="Your network with a pruned backbone, healed without data under its untouched "
        "head.",
        method="bequest.methods.compression.dfbf:DFBF",
        study="bequest.studies.compression.dfbf:study",
        paper=Paper(
            title="Data-Free Backbone Fine-Tuning for Pruned Neural Networks",
            authors="Adrian Holzbock, Achyut Hegde, Klaus Dietmayer, Vasileios Belagiannis",
            venue="EUSIPCO",
            year=2023,
            arxiv="2306.12881",
        ),
        extras=("compress",),
    ),
)
