"""DFQ with each of its terms and its warm-up switched off, and the controls."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.data_free.dfq import DFQ
from bequest.studies.base import Claim, Study
from bequest.studies.data_free import ssd_kd
from bequest.studies.data_free.setting import NOTES, SIZES, budget, execute, student

# Small batches, a small generator and a short warm-up: most of these budgets goes to fresh images.
_SETTINGS: dict[str, dict[str, Any]] = {
    "default": {
        "warmup_steps": 50,
        "batch_size": 64,
        "learning_rate": 0.3,
        "lr_generator": 0.003,
        "latent_dim": 100,
        "generator_width": 8,
    },
    "smoke": {
        "warmup_steps": 5,
        "batch_size": 32,
        "latent_dim": 32,
        "generator_width": 8,
    },
    "cifar10": {
        "warmup_steps": 500,
        "batch_size": 128,
        "latent_dim": 256,
        "generator_width": 32,
    },
}


def arms(size: str) -> dict[str, Any]:
    """DFQ; without adversary, statistics, either entropy, or warm-up; the controls."""
    ours = DFQ(**_SETTINGS[size], rounds=1_000_000)
    others = ssd_kd.arms(size)
    return {
        "dfq": ours,
        "no-adversary": change(ours, adversarial_weight=0.0),
        "no-statistics": change(ours, bn_weight=0.0),
        "no-instance-entropy": change(ours, instance_weight=0.0),
        "no-balance": change(ours, balance_weight=0.0),
        "no-warm-up": change(ours, warmup_steps=0),
        "uniform-noise": others["uniform-noise"],
        "real-data-kd": others["real-data-kd"],
    }


study = Study(
    id="dfq",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="beats-noise",
            sentence="DFQ beats distillation on uniform noise by 10 points.",
            better="dfq",
            than="uniform-noise",
            by=10.0,
        ),
        Claim(
            id="adversary-helps",
            sentence="The adversarial term improves the student.",
            better="dfq",
            than="no-adversary",
            source="CVPRW 2020, Section 3",
        ),
        Claim(
            id="statistics-help",
            sentence="Matching BatchNorm statistics improves the student.",
            better="dfq",
            than="no-statistics",
            source="CVPRW 2020, ablation of the auxiliary loss",
        ),
        Claim(
            id="instance-entropy-helps",
            sentence="The instance categorical entropy improves the student.",
            better="dfq",
            than="no-instance-entropy",
            source="CVPRW 2020, ablation of the auxiliary loss",
        ),
        Claim(
            id="balance-helps",
            sentence="The batch categorical entropy improves the student.",
            better="dfq",
            than="no-balance",
            source="CVPRW 2020, ablation of the auxiliary loss",
        ),
    ),
)
