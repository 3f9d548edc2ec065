"""Every objective on few labels, beside labels alone; the teacher asked anew, and remembered."""

from __future__ import annotations

from typing import Any

from bequest.losses.objectives.catalog import OBJECTIVES
from bequest.methods.base import change
from bequest.methods.distillation.kd import Distillation
from bequest.studies.base import Claim, Study
from bequest.studies.distillation.setting import NOTES, SIZES, budget, execute, student

# What every arm of a size shares.
_SHARED: dict[str, dict[str, Any]] = {
    "default": {
        "steps": 600,
        "batch_size": 50,
        "schedule": "cosine",
        "crop_padding": 2,
        "flip": False,
        "negatives": 1024,
    },
    "smoke": {
        "steps": 40,
        "batch_size": 50,
        "schedule": "cosine",
        "crop_padding": 1,
        "flip": False,
        "negatives": 256,
    },
    "cifar10": {"steps": 40_000, "batch_size": 128, "learning_rate": 0.1, "schedule": "cosine"},
}


def arms(size: str) -> dict[str, Any]:
    """KD first, then every other objective as published, labels alone, and ways to ask."""
    kd = Distillation(**_SHARED[size])
    others = {id: change(kd, objective=id) for id in OBJECTIVES if id not in ("kd", "none")}
    return {
        "kd": kd,
        **others,
        "no-distillation": change(kd, objective="none"),
        "no-labels": change(kd, cross_entropy=0.0),
        "crd-and-kd": change(kd, objective="crd", kd_weight=1.0),
        "whole-image-teacher": change(kd, teacher_view="plain"),
        "own-cut-teacher": change(kd, teacher_view="own"),
        "kept-cuts": change(kd, augmentations=32),
        "kept-cuts-asked": change(kd, augmentations=32, cache=False),
    }


study = Study(
    id="kd",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="kd-helps",
            sentence="With 100 labels, KD beats labels alone by at least 2 points.",
            better="kd",
            than="no-distillation",
            by=2.0,
            source="Hinton et al., 2015",
        ),
        Claim(
            id="similarities-help",
            sentence="With 100 labels, similarities between samples help by at least 2 points.",
            better="sp",
            than="no-distillation",
            by=2.0,
            source="Tung and Mori, ICCV 2019, abstract",
        ),
        Claim(
            id="dkd-beats-kd",
            sentence="DKD beats KD.",
            better="dkd",
            than="kd",
            source="Zhao et al., CVPR 2022, abstract",
        ),
        Claim(
            id="standardised-logits-help",
            sentence="KD on standardised logits beats KD.",
            better="logit-standardization",
            than="kd",
            source="Sun et al., CVPR 2024, abstract",
        ),
        Claim(
            id="dist-beats-kd",
            sentence="DIST beats KD.",
            better="dist",
            than="kd",
            source="Huang et al., NeurIPS 2022, abstract",
        ),
        Claim(
            id="same-view-contributes",
            sentence="A teacher that sees the student's cut beats one that sees the whole image.",
            better="kd",
            than="whole-image-teacher",
            source="Beyer et al., Knowledge distillation: A good teacher is patient and "
            "consistent, CVPR 2022",
        ),
        Claim(
            id="kept-cuts-suffice",
            sentence="With 32 cuts of each image, whose outputs are kept, less than 1 point is "
            "lost to new cuts in each epoch.",
            better="kept-cuts",
            than="kd",
            by=-1.0,
            source="what keeping outputs promises",
        ),
        Claim(
            id="keeping-changes-nothing",
            sentence="A remembered teacher is no worse than one that is asked in each step, within "
            "half a point.",
            better="kept-cuts",
            than="kept-cuts-asked",
            by=-0.5,
            source="what keeping outputs promises",
        ),
    ),
)
