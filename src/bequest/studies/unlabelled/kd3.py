"""KD3 against its own parts switched off, and against simpler ways to use the same pool."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.methods.unlabelled.kd3 import KD3
from bequest.studies.base import Claim, Study
from bequest.studies.unlabelled.setting import NOTES, SIZES, budget, execute, student

# What every arm of a size shares.
_SHARED: dict[str, dict[str, Any]] = {
    "default": {
        "steps": 1500,
        "batch_size": 64,
        "schedule": "cosine",
        "smallest_crop": 0.0,
        "crop_padding": 2,
        "flip": False,
    },
    "smoke": {
        "steps": 40,
        "batch_size": 64,
        "schedule": "cosine",
        "smallest_crop": 0.0,
        "crop_padding": 1,
        "flip": False,
    },
    "cifar10": {"steps": 20_000, "batch_size": 128, "smallest_crop": 0.5, "crop_padding": 4},
}
# Both times 8, chosen on training images, which the student never sees: with few steps a larger
# step pays, and 64 times is too large.
_WEIGHTS: dict[str, dict[str, Any]] = {
    "default": {"feature_weight": 8.0, "contrast_weight": 0.008},
    "smoke": {"feature_weight": 8.0, "contrast_weight": 0.008},
    "cifar10": {},
}


def arms(size: str) -> dict[str, Any]:
    """KD3, the baselines on the same pool, its ablations, and real data."""
    shared = _SHARED[size]
    ours = KD3(**shared, **_WEIGHTS[size])
    simkd = change(ours, selection=False, weighting="none", contrast="none")
    logits = change(simkd, classifier="own", feature_weight=0.0)
    return {
        "kd3": ours,
        "simkd": simkd,
        "logit-kd": logits,
        "confident-kd": change(logits, selection=True, trust="teacher", class_wise=False),
        "no-selection": change(ours, selection=False),
        "own-classifier": change(ours, classifier="own"),
        "no-weights": change(ours, weighting="none"),
        "no-contrast": change(ours, contrast="none"),
        "trust-teacher": change(ours, trust="teacher"),
        "trust-student": change(ours, trust="student"),
        "global-threshold": change(ours, class_wise=False),
        "cross-contrast": change(ours, contrast="cross"),
        "still-statistics": change(ours, mixed_statistics=False),
        "real-data-kd": RealDataKD(
            steps=ours.steps,
            batch_size=ours.batch_size,
            temperature=ours.temperature,
            learning_rate=ours.learning_rate,
            weight_decay=ours.weight_decay,
            crop_padding=ours.crop_padding,
            flip=ours.flip,
        ),
    }


study = Study(
    id="kd3",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="beats-logit-kd",
            sentence="KD3 beats logit distillation on the whole pool.",
            better="kd3",
            than="logit-kd",
            source="ICCV 2023, abstract",
        ),
        Claim(
            id="beats-simkd",
            sentence="KD3 beats SimKD on the whole pool.",
            better="kd3",
            than="simkd",
            source="ICCV 2023, ablation",
        ),
        Claim(
            id="beats-confident-kd",
            sentence="KD3 beats logit distillation on the images of which the teacher is sure.",
            better="kd3",
            than="confident-kd",
            source="ICCV 2023, abstract",
        ),
        Claim(
            id="selection-contributes",
            sentence="Dynamic selection improves on the whole pool.",
            better="kd3",
            than="no-selection",
            source="ICCV 2023, ablation",
        ),
        Claim(
            id="sharing-contributes",
            sentence="The teacher's classifier improves on the student's own.",
            better="kd3",
            than="own-classifier",
            source="ICCV 2023, ablation",
        ),
        Claim(
            id="contrast-contributes",
            sentence="MixDistribution contrast improves on none.",
            better="kd3",
            than="no-contrast",
            source="ICCV 2023, ablation",
        ),
        Claim(
            id="weights-contribute",
            sentence="Weighting by disagreement improves on equal weights.",
            better="kd3",
            than="no-weights",
            source="ICCV 2023, method",
        ),
    ),
)
