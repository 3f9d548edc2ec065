"""SSD-KD on label maps against its parts switched off, Fast's growing pool, and the controls."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.data_free.real_data_kd import RealDataKD
from bequest.methods.data_free.uniform_noise import UniformNoise
from bequest.methods.segmentation.ssd_kd_segmentation import SSDKDSegmentation
from bequest.studies.base import Claim, Study
from bequest.studies.segmentation.setting import NOTES, SIZES, budget, execute

# What every arm of a size shares: student and batch. Without a rising rate some students name the
# background everywhere and take most of the run to recover; chosen on training images.
_LEARNER: dict[str, dict[str, Any]] = {
    "default": {
        "batch_size": 32,
        "temperature": 1.0,
        "learning_rate": 0.1,
        "rate_warm_up": 0.1,
        "crop_padding": 2,
        "flip": False,
    },
    "smoke": {
        "batch_size": 16,
        "temperature": 1.0,
        "learning_rate": 0.1,
        "rate_warm_up": 0.1,
        "crop_padding": 1,
        "flip": False,
    },
    "camvid": {
        "batch_size": 16,
        "temperature": 1.0,
        "learning_rate": 0.1,
        "rate_warm_up": 0.1,
        "crop_padding": 2,
        "flip": True,
    },
}
# What every arm that makes images shares.
_INVERSION: dict[str, dict[str, Any]] = {
    "default": {
        "synthesis_batch": 32,
        "latent_dim": 100,
        "generator_width": 16,
        "patch": 8,
        "student_steps": 20,
    },
    "smoke": {
        "synthesis_batch": 16,
        "latent_dim": 32,
        "generator_width": 8,
        "patch": 8,
        "student_steps": 5,
    },
    "camvid": {
        "synthesis_batch": 16,
        "latent_dim": 100,
        "generator_width": 16,
        "patch": 16,
        "student_steps": 20,
    },
}
# A tenth of the training images; of CamVid's 367, a third.
_BUFFER = {"default": 200, "smoke": 48, "camvid": 128}
# Rounds after which Fast's student starts; its pool never overwrites.
_WARM_UP = {"default": 7, "smoke": 3, "camvid": 8}
_NEVER_FULL = 200_000


def arms(size: str) -> dict[str, Any]:
    """SSD-KD, its ablations, a buffer of another size, Fast, and the controls."""
    learner = _LEARNER[size]
    ours = SSDKDSegmentation(
        **learner, **_INVERSION[size], buffer_size=_BUFFER[size], rounds=100_000
    )
    uniform = change(ours, modulation=False, priority=False)
    return {
        "ssd-kd-segmentation": ours,
        "uniform": uniform,
        "modulation-only": change(ours, priority=False),
        "priority-only": change(ours, modulation=False),
        "diversity-only": change(ours, difficulty=False, priority=False),
        "difficulty-only": change(ours, diversity=False, priority=False),
        "own-targets": change(ours, targets="own"),
        "small-buffer": change(ours, buffer_size=_BUFFER[size] // 4),
        "fast": change(uniform, buffer_size=_NEVER_FULL, warmup_rounds=_WARM_UP[size]),
        "uniform-noise": UniformNoise(
            **learner | {"crop_padding": 0, "flip": False}, steps=100_000
        ),
        "real-data-kd": RealDataKD(**learner, steps=100_000),
    }


study = Study(
    id="ssd-kd-segmentation",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    claims=(
        Claim(
            id="beats-uniform-replay",
            sentence="SSD-KD beats the same buffer with uniform sampling and no modulation.",
            better="ssd-kd-segmentation",
            than="uniform",
            metric="mean_iou",
            source="CVPR 2024, segmentation experiments and ablation of Table 4",
        ),
        Claim(
            id="small-buffer-suffices",
            sentence="A small, renewed buffer is no worse than Fast's growing pool.",
            better="ssd-kd-segmentation",
            than="fast",
            metric="mean_iou",
            by=-1.0,
            source="CVPR 2024, abstract",
        ),
        Claim(
            id="modulation-contributes",
            sentence="The modulating function alone improves on uniform sampling.",
            better="modulation-only",
            than="uniform",
            metric="mean_iou",
            source="CVPR 2024, ablation of Table 4",
        ),
        Claim(
            id="priority-contributes",
            sentence="Priority sampling alone improves on uniform sampling.",
            better="priority-only",
            than="uniform",
            metric="mean_iou",
            source="CVPR 2024, ablation of Table 4",
        ),
        Claim(
            id="beats-noise",
            sentence="SSD-KD beats distillation on uniform noise by 10 points of mean IoU.",
            better="ssd-kd-segmentation",
            than="uniform-noise",
            metric="mean_iou",
            by=10.0,
        ),
    ),
)
