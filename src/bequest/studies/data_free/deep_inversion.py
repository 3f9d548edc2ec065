"""DeepInversion with each of its terms switched off, and the controls."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.data_free.deep_inversion import DeepInversion
from bequest.studies.base import Claim, Study
from bequest.studies.data_free import ssd_kd
from bequest.studies.data_free.setting import NOTES, SIZES, budget, execute, student

# The published 1000 steps a batch leave nothing of these budgets for the student: there are fewer
# and larger steps. Digits need no mirror, and small shifts.
_SETTINGS: dict[str, dict[str, Any]] = {
    "default": {
        "batch_size": 128,
        "synthesis_batch": 128,
        "temperature": 4.0,
        "inversion_steps": 40,
        "lr_pixels": 0.2,
        "student_steps": 60,
        "shift": 2,
        "crop_padding": 2,
        "flip": False,
        "reuse_teacher_logits": True,
    },
    "smoke": {
        "batch_size": 32,
        "synthesis_batch": 128,
        "temperature": 4.0,
        "inversion_steps": 5,
        "lr_pixels": 0.4,
        "student_steps": 40,
        "shift": 1,
        "crop_padding": 0,
        "flip": False,
    },
    "cifar10": {"inversion_steps": 200},
}


def arms(size: str) -> dict[str, Any]:
    """Adaptive DeepInversion; without its statistics, competition or smoothness; the controls."""
    ours = DeepInversion(**_SETTINGS[size], rounds=100_000)
    others = ssd_kd.arms(size)
    return {
        "deep-inversion": ours,
        "no-statistics": change(ours, bn_weight=0.0),
        "no-competition": change(ours, competition_weight=0.0),
        "no-smoothness": change(ours, tv_weight=0.0),
        "uniform-noise": others["uniform-noise"],
        "real-data-kd": others["real-data-kd"],
    }


study = Study(
    id="deep-inversion",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="beats-noise",
            sentence="DeepInversion beats distillation on uniform noise by 10 points.",
            better="deep-inversion",
            than="uniform-noise",
            by=10.0,
        ),
        Claim(
            id="statistics-help",
            sentence="Matching the teacher's BatchNorm statistics improves the student.",
            better="deep-inversion",
            than="no-statistics",
            source="CVPR 2020, Sec. 3.2",
        ),
        Claim(
            id="competition-helps",
            sentence="Competition with the student (Adaptive DeepInversion) improves the student.",
            better="deep-inversion",
            than="no-competition",
            source="CVPR 2020, Sec. 3.3",
        ),
        Claim(
            id="smoothness-helps",
            sentence="The total variation prior improves the student.",
            better="deep-inversion",
            than="no-smoothness",
            source="CVPR 2020, eq. 3",
        ),
    ),
)
