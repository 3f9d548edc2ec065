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
    Entry(
        id="pckd",
        name="PCKD",
        family="distillation",
        summary="Contrasts how features of turned images relate to the class centres, and gives "
        "hard samples a small weight at first.",
        method="bequest.methods.distillation.pckd:PCKD",
        study="bequest.studies.distillation.pckd:study",
        paper=Paper(
            title="Preview-based Category Contrastive Learning for Knowledge Distillation",
            authors="Muhe Ding, Jianlong Wu, Xue Dong, Xiaojie Li, Pengda Qin, Tian Gan, "
            "Liqiang Nie",
            venue="IEEE TCSVT",
            year=2025,
            arxiv="2410.14143",
        ),
    ),
)
