"""The upper control, with and without augmentation, beside noise."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.studies.base import Claim, Study
from bequest.studies.data_free import ssd_kd
from bequest.studies.data_free.setting import NOTES, SIZES, budget, execute, student


def arms(size: str) -> dict[str, Any]:
    """Real images first; without augmentation; noise."""
    others = ssd_kd.arms(size)
    real = others["real-data-kd"]
    return {
        "real-data-kd": real,
        "no-augmentation": change(real, crop_padding=0, flip=False),
        "uniform-noise": others["uniform-noise"],
    }


study = Study(
    id="real-data-kd",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="beats-noise",
            sentence="Real images teach at least 10 points more than noise does.",
            better="real-data-kd",
            than="uniform-noise",
            by=10.0,
        ),
    ),
)
