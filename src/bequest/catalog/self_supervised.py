"""Methods that learn representations without labels."""

from __future__ import annotations

from bequest.catalog.entry import Entry, Paper

ENTRIES = (
    Entry(
        id="tinymim",
        name="TinyMIM",
        family="self_supervised",
        summary="A small vision transformer to fine-tune, from a large pre-trained one and images "
        "without labels, by the relations between tokens.",
        method="bequest.methods.self_supervised.tinymim:TinyMIM",
        study="bequest.studies.self_supervised.tinymim:study",
        paper=Paper(
            title="TinyMIM: An Empirical Study of Distilling MIM Pre-trained Models",
            authors="Sucheng Ren, Fangyun Wei, Zheng Zhang, Han Hu",
            venue="CVPR",
            year=2023,
            arxiv="2301.01296",
        ),
    ),
    Entry(
        id="mae",
        name="MAE",
        family="self_supervised",
        summary="The control: a vision transformer pre-trained on images without labels, alone, by "
        "guessing masked patches.",
        method="bequest.methods.self_supervised.mae:MAE",
        study="bequest.studies.self_supervised.mae:study",
        paper=Paper(
            title="Masked Autoencoders Are Scalable Vision Learners",
            authors="Kaiming He, Xinlei Chen, Saining Xie, Yanghao Li, Piotr Dollár, Ross Girshick",
            venue="CVPR",
            year=2022,
            arxiv="2111.06377",
        ),
    ),
)
