"""Methods that have a teacher and labelled data."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
    Entry(
        id="kd",
        name="KD with data",
        family="distillation",
        summary="A student from a teacher and labelled images, with any of seventeen published "
        "objectives.",
        method="bequest.methods.distillation.kd:Distillation",
        study="bequest.studies.distillation.kd:study",
        paper=Paper(
            title="Distilling the Knowledge in a Neural Network",
            authors="Geoffrey Hinton, Oriol Vinyals, Jeff Dean",
            venue="NIPS Deep Learning Workshop",
            year=2015,
            arxiv="1503.02531",
        ),
    ),
)
