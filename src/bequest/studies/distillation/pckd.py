"""PCKD on few labelled images, with its parts switched off, beside other objectives and controls.

A PCKD step costs four views of each image. So two controls stand beside: labels and logits learnt
on the same four views, and KD with four times the steps.

Digits are tilted by 15 degrees, photographs make quarter turns. A quarter turn makes some digits
into others; on training images that the student never saw it was worse than a tilt, and with some
seeds worse than KD.
"""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.distillation.kd import Distillation
from bequest.methods.distillation.pckd import PCKD
from bequest.run import Result, Run
from bequest.studies.base import Claim, Study
from bequest.studies.classification import rebuilds
from bequest.studies.distillation import setting
from bequest.studies.distillation.setting import Setting, budget, distil

SETTINGS = {
    **setting.SETTINGS,
    "cifar10-1500": Setting(
        data="cifar10",
        teacher="resnet56",
        student="convnet16",
        teacher_epochs=0,
        labelled=1500,
        tested=2500,
        note="CIFAR-10, 1,500 labelled images and 2,500 for the test; the public ResNet-56",
    ),
}

# What every arm of a size shares, PCKD or not.
_SHARED: dict[str, dict[str, Any]] = {
    "default": {
        "steps": 600,
        "batch_size": 50,
        "schedule": "cosine",
        "crop_padding": 2,
        "flip": False,
        "augmentations": 32,
    },
    "smoke": {
        "steps": 40,
        "batch_size": 50,
        "schedule": "cosine",
        "crop_padding": 1,
        "flip": False,
        "augmentations": 4,
    },
    "cifar10": {"steps": 40_000, "batch_size": 128, "learning_rate": 0.1, "schedule": "cosine"},
    "cifar10-1500": {
        "steps": 690,
        "batch_size": 64,
        "schedule": "cosine",
        "crop_padding": 0,
        "flip": False,
    },
}
_ANGLE = {"default": 15.0, "smoke": 15.0, "cifar10": 90.0, "cifar10-1500": 90.0}
_NEGATIVES = {"default": 1024, "smoke": 256, "cifar10": 16_384, "cifar10-1500": 1024}


def arms(size: str) -> dict[str, Any]:
    """PCKD, its ablations, the baselines at equal steps, and controls at equal views or cost."""
    shared = _SHARED[size]
    ours = PCKD(**shared, angle=_ANGLE[size])
    kd = Distillation(**shared, negatives=_NEGATIVES[size])
    bare = change(ours, category_weight=0.0, feature_weight=0.0, centre_weight=0.0, preview="none")
    return {
        "pckd": ours,
        "no-category-contrast": change(ours, category_weight=0.0),
        "no-preview": change(ours, preview="none"),
        "no-feature-alignment": change(ours, feature_weight=0.0),
        "no-centre-alignment": change(ours, centre_weight=0.0),
        "no-kd": change(ours, kd_weight=0.0),
        "centre-contrast": change(ours, contrast="centre"),
        "self-paced": change(ours, preview="self-paced"),
        "focal": change(ours, preview="focal"),
        "attached-preview": change(ours, detach_preview=False),
        "upright-alone": change(ours, views="upright"),
        "tilts": change(ours, angle=15.0),
        "quarter-turns": change(ours, angle=90.0),
        "kd": kd,
        "crd": change(kd, objective="crd"),
        "dkd": change(kd, objective="dkd"),
        "no-distillation": change(kd, objective="none"),
        "kd-on-four-views": change(bare, supervised_views="all"),
        "kd-four-times-as-long": change(kd, steps=4 * kd.steps),
    }


def student(size: str) -> dict[str, Any]:
    """What rebuilds the student that a run leaves."""
    chosen = SETTINGS[size]
    return rebuilds(chosen.data, chosen.student, epochs=chosen.teacher_epochs)


def execute(method: Any, size: str, run: Run) -> Result:
    """Distils at that size; arms are paired by seed, see `setting.execute`."""
    return distil(method, SETTINGS[size], run)


study = Study(
    id="pckd",
    arms=arms,
    execute=execute,
    sizes=tuple(SETTINGS),
    budget=budget,
    data={size: chosen.note for size, chosen in SETTINGS.items()},
    student=student,
    claims=(
        Claim(
            id="beats-kd",
            sentence="PCKD beats KD at equal steps.",
            better="pckd",
            than="kd",
            source="TCSVT 2025, CIFAR-100: 0.8 to 2.8 points",
        ),
        Claim(
            id="beats-labels-alone",
            sentence="PCKD beats labels alone by at least 2 points.",
            better="pckd",
            than="no-distillation",
            by=2.0,
            source="TCSVT 2025, CIFAR-100: 3 to 5 points",
        ),
        Claim(
            id="beats-crd",
            sentence="PCKD beats CRD at equal steps.",
            better="pckd",
            than="crd",
            source="TCSVT 2025, CIFAR-100: 1 to 2 points",
        ),
        Claim(
            id="beats-dkd",
            sentence="PCKD beats DKD at equal steps.",
            better="pckd",
            than="dkd",
            source="TCSVT 2025, baselines on CIFAR-100",
        ),
        Claim(
            id="category-contrast-contributes",
            sentence="The category contrast improves on PCKD without it.",
            better="pckd",
            than="no-category-contrast",
            source="TCSVT 2025, ablation",
        ),
        Claim(
            id="preview-contributes",
            sentence="Preview weights improve on equal weights.",
            better="pckd",
            than="no-preview",
            source="TCSVT 2025, ablation",
        ),
        Claim(
            id="feature-alignment-contributes",
            sentence="Feature alignment improves on PCKD without it.",
            better="pckd",
            than="no-feature-alignment",
            source="TCSVT 2025, method",
        ),
        Claim(
            id="logits-contribute",
            sentence="The term on logits improves on PCKD without it.",
            better="pckd",
            than="no-kd",
            source="TCSVT 2025, CIFAR-100, rows with and without KD: 0.02 to 0.8 points",
        ),
        Claim(
            id="more-than-four-views",
            sentence="PCKD beats labels and logits learnt on the same four views.",
            better="pckd",
            than="kd-on-four-views",
            source="a control at equal views; not in the paper",
        ),
        Claim(
            id="digits-want-small-turns",
            sentence="Of digits, views tilted by 15 degrees teach more than quarter turns.",
            better="tilts",
            than="quarter-turns",
            source="a quarter turn makes some digits into others; not in the paper",
            sizes=("default",),
        ),
        Claim(
            id="more-than-four-times-the-work",
            sentence="PCKD beats KD with four times the steps.",
            better="pckd",
            than="kd-four-times-as-long",
            source="a control at equal cost; not in the paper",
        ),
    ),
)
