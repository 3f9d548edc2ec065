"""Fast with 2, 5 and 10 inversion steps, without meta-learning of its parts, and the controls."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.studies.base import Claim, Study
from bequest.studies.data_free import ssd_kd
from bequest.studies.data_free.setting import NOTES, SIZES, budget, execute, student


def arms(size: str) -> dict[str, Any]:
    """Fast-5 first; Fast-2 and Fast-10 with their learning rates; the adversarial term off."""
    others = ssd_kd.arms(size)
    five = others["fast"]
    return {
        "fast": five,
        "fast-2": change(five, inversion_steps=2, lr_generator=5e-3, lr_latent=0.015),
        "fast-10": change(five, inversion_steps=10, lr_generator=2e-3, lr_latent=0.01),
        "no-adversary": change(five, adversarial_weight=0.0),
        "no-statistics": change(five, bn_weight=0.0),
        "uniform-noise": others["uniform-noise"],
        "real-data-kd": others["real-data-kd"],
    }


study = Study(
    id="fast",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="beats-noise",
            sentence="Fast-5 beats distillation on uniform noise by 10 points.",
            better="fast",
            than="uniform-noise",
            by=10.0,
        ),
        Claim(
            id="statistics-help",
            sentence="The BatchNorm statistics loss improves the student.",
            better="fast",
            than="no-statistics",
        ),
        Claim(
            id="adversary-helps",
            sentence="The adversarial term improves the student.",
            better="fast",
            than="no-adversary",
        ),
    ),
)
