"""SSD-KD against its own parts switched off, against Fast's growing pool, and the two controls."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.data_free.fast import Fast
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.methods.data_free.ssd_kd import SSDKD
from bequest.methods.data_free.uniform_noise import UniformNoise
from bequest.studies.base import Claim, Study
from bequest.studies.data_free.setting import NOTES, SIZES, budget, execute, student

# What every arm of a size shares: inversion, student and batch.
_SHARED: dict[str, dict[str, Any]] = {
    "default": {
        "batch_size": 128,
        "synthesis_batch": 64,
        "temperature": 4.0,
        "learning_rate": 0.1,
        "latent_dim": 100,
        "generator_width": 16,
        "crop_padding": 0,
        "flip": False,
    },
    "smoke": {
        "batch_size": 32,
        "synthesis_batch": 32,
        "temperature": 4.0,
        "learning_rate": 0.1,
        "latent_dim": 32,
        "generator_width": 16,
        "crop_padding": 0,
        "flip": False,
    },
    "cifar10": {},
}
# A tenth of the original data; steps a round: one pass over the buffer.
_BUFFER = {"default": 400, "smoke": 128, "cifar10": 5000}
_STEPS = {"default": 10, "smoke": 5, "cifar10": 20}
# Fast's own 20 rounds would take the whole smoke budget.
_WARM_UP = {"default": 20, "smoke": 4, "cifar10": 20}


def arms(size: str) -> dict[str, Any]:
    """SSD-KD, its ablations, buffers of other sizes, Fast, and the controls."""
    shared = _SHARED[size]
    learner = {
        name: shared[name]
        for name in ("batch_size", "temperature", "learning_rate", "crop_padding", "flip")
        if name in shared
    }
    ours = SSDKD(**shared, buffer_size=_BUFFER[size], student_steps=_STEPS[size], rounds=100_000)
    uniform = change(ours, modulation=False, priority=False)
    return {
        "ssd-kd": ours,
        "uniform": uniform,
        "modulation-only": change(ours, priority=False),
        "priority-only": change(ours, modulation=False),
        "diversity-only": change(ours, difficulty=False, priority=False),
        "difficulty-only": change(ours, diversity=False, priority=False),
        "one-percent": change(ours, buffer_size=_BUFFER[size] // 10),
        "fast": Fast(
            **shared,
            rounds=100_000,
            student_steps=_STEPS[size],
            warmup_rounds=_WARM_UP[size],
        ),
        "uniform-noise": UniformNoise(**learner | {"crop_padding": 0}, steps=100_000),
        "real-data-kd": RealDataKD(**learner, steps=100_000),
    }


study = Study(
    id="ssd-kd",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="beats-uniform-replay",
            sentence="SSD-KD beats the same buffer with uniform sampling and no modulation.",
            better="ssd-kd",
            than="uniform",
            source="CVPR 2024, ablation of Table 4",
        ),
        Claim(
            id="small-buffer-suffices",
            sentence="A buffer of a tenth of the original data is no worse than Fast's growing "
            "pool.",
            better="ssd-kd",
            than="fast",
            by=-1.0,
            source="CVPR 2024, abstract",
        ),
        Claim(
            id="modulation-contributes",
            sentence="The modulating function alone improves on uniform sampling.",
            better="modulation-only",
            than="uniform",
            source="CVPR 2024, ablation of Table 4",
        ),
        Claim(
            id="priority-contributes",
            sentence="Priority sampling alone improves on uniform sampling.",
            better="priority-only",
            than="uniform",
            source="CVPR 2024, ablation of Table 4",
        ),
        Claim(
            id="one-percent-is-stable",
            sentence="Accuracy falls by less than 3 points from a 10 % to a 1 % buffer.",
            better="one-percent",
            than="ssd-kd",
            by=-3.0,
            source="CVPR 2024, Figure 4",
        ),
        Claim(
            id="beats-noise",
            sentence="SSD-KD beats distillation on uniform noise by 10 points.",
            better="ssd-kd",
            than="uniform-noise",
            by=10.0,
        ),
    ),
)
