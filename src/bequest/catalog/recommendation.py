"""Methods that recommend items."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
    Entry(
        id="comirec",
        name="ComiRec",
        family="recommendation",
        summary="Items for people from what they did: several vectors a user, and one knob between "
        "accuracy and variety.",
        method="bequest.methods.recommendation.comirec:ComiRec",
        study="bequest.studies.recommendation.comirec:study",
        paper=Paper(
            title="Controllable Multi-Interest Framework for Recommendation",
            authors="Yukuo Cen, Jianwei Zhang, Xu Zou, Chang Zhou, Hongxia Yang, Jie Tang",
            venue="KDD",
            year=2020,
            arxiv="2005.09347",
        ),
    ),
)
