"""Methods that have a teacher and unlabelled images of other origin."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
    Entry(
        id="kd3",
        name="KD3",
        family="unlabelled",
        summary="A student from a teacher and unlabelled images of other origin, chosen anew in "
        "each epoch, behind the teacher's own classifier.",
        method="bequest.methods.unlabelled.kd3:KD3",
        study="bequest.studies.unlabelled.kd3:study",
        paper=Paper(
            title="Distribution Shift Matters for Knowledge Distillation with Webly Collected "
            "Images",
            authors="Jialiang Tang, Shuo Chen, Gang Niu, Masashi Sugiyama, Chen Gong",
            venue="ICCV",
            year=2023,
            arxiv="2307.11469",
        ),
    ),
)
