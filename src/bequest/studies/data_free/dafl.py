"""DAFL with each of its three terms switched off, and the controls."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.data_free.dafl import DAFL
from bequest.studies.base import Claim, Study
from bequest.studies.data_free import ssd_kd
from bequest.studies.data_free.setting import NOTES, SIZES, budget, execute, student

# Small batches: within these budgets more steps teach more than larger ones.
_SETTINGS: dict[str, dict[str, Any]] = {
    "default": {
        "batch_size": 64,
        "learning_rate": 0.3,
        "lr_generator": 5e-4,
        "temperature": 4.0,
        "latent_dim": 100,
        "generator_width": 8,
    },
    "smoke": {
        "batch_size": 32,
        "learning_rate": 0.3,
        "latent_dim": 32,
        "generator_width": 8,
    },
    "cifar10": {
        "batch_size": 128,
        "latent_dim": 256,
        "generator_width": 32,
    },
}


def arms(size: str) -> dict[str, Any]:
    """DAFL; without its one-hot, activation or entropy loss; the controls."""
    ours = DAFL(**_SETTINGS[size], steps=1_000_000)
    others = ssd_kd.arms(size)
    return {
        "dafl": ours,
        "no-one-hot": change(ours, one_hot_weight=0.0),
        "no-activation": change(ours, activation_weight=0.0),
        "no-balance": change(ours, balance_weight=0.0),
        "uniform-noise": others["uniform-noise"],
        "real-data-kd": others["real-data-kd"],
    }


study = Study(
    id="dafl",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="beats-noise",
            sentence="DAFL beats distillation on uniform noise by 10 points.",
            better="dafl",
            than="uniform-noise",
            by=10.0,
        ),
        Claim(
            id="one-hot-helps",
            sentence="The one-hot loss improves the student.",
            better="dafl",
            than="no-one-hot",
            source="ICCV 2019, ablation of Table 2",
        ),
        Claim(
            id="activation-helps",
            sentence="The activation loss improves the student.",
            better="dafl",
            than="no-activation",
            source="ICCV 2019, ablation of Table 2",
        ),
        Claim(
            id="balance-helps",
            sentence="The information entropy loss improves the student.",
            better="dafl",
            than="no-balance",
            source="ICCV 2019, ablation of Table 2",
        ),
    ),
)
