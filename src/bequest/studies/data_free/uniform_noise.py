"""The lower control beside the upper one."""

from __future__ import annotations

from typing import Any

from bequest.studies.base import Claim, Study
from bequest.studies.data_free import ssd_kd
from bequest.studies.data_free.setting import NOTES, SIZES, budget, execute, student


def arms(size: str) -> dict[str, Any]:
    """Noise first, then the real images."""
    others = ssd_kd.arms(size)
    return {name: others[name] for name in ("uniform-noise", "real-data-kd")}


study = Study(
    id="uniform-noise",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="real-images-beat-noise",
            sentence="Real images teach at least 10 points more than noise does.",
            better="real-data-kd",
            than="uniform-noise",
            by=10.0,
        ),
    ),
)
