"""Methods for networks that label pixels."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
    Entry(
        id="ssd-kd-segmentation",
        name="SSD-KD, segmentation",
        family="segmentation",
        summary="A student that labels pixels from such a teacher alone, with a small, continually "
        "renewed buffer of synthetic scenes, replayed by priority.",
        method="bequest.methods.segmentation.ssd_kd_segmentation:SSDKDSegmentation",
        study="bequest.studies.segmentation.ssd_kd_segmentation:study",
        paper=Paper(
            title="Small Scale Data-Free Knowledge Distillation",
            authors="He Liu, Yikai Wang, Huaping Liu, Fuchun Sun, Anbang Yao",
            venue="CVPR",
            year=2024,
            arxiv="2406.07876",
        ),
    ),
)
