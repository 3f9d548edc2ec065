"""ZSKT without attention transfer, without a trained generator, and the controls."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.data_free.zskt import ZSKT
from bequest.studies.base import Claim, Study
from bequest.studies.data_free import ssd_kd
from bequest.studies.data_free.setting import NOTES, SIZES, budget, execute, student

# Small batches and larger steps than the paper's: these budgets allow a few hundred rounds.
_SETTINGS: dict[str, dict[str, Any]] = {
    "default": {
        "batch_size": 64,
        "learning_rate": 0.005,
        "latent_dim": 100,
        "generator_width": 16,
    },
    "smoke": {
        "batch_size": 32,
        "learning_rate": 0.005,
        "lr_generator": 0.005,
        "latent_dim": 32,
        "generator_width": 8,
    },
    "cifar10": {
        "generator_width": 32,
    },
}


def arms(size: str) -> dict[str, Any]:
    """ZSKT; without attention; with a generator that stays as drawn; the controls."""
    ours = ZSKT(**_SETTINGS[size], rounds=1_000_000)
    others = ssd_kd.arms(size)
    return {
        "zskt": ours,
        "no-attention": change(ours, attention_weight=0.0),
        "untrained-generator": change(ours, generator_steps=0),
        "uniform-noise": others["uniform-noise"],
        "real-data-kd": others["real-data-kd"],
    }


study = Study(
    id="zskt",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    student=student,
    claims=(
        Claim(
            id="beats-noise",
            sentence="ZSKT beats distillation on uniform noise by 10 points.",
            better="zskt",
            than="uniform-noise",
            by=10.0,
        ),
        Claim(
            id="attention-helps",
            sentence="Attention transfer improves the student.",
            better="zskt",
            than="no-attention",
            source="NeurIPS 2019, Section 4",
        ),
        Claim(
            id="adversary-helps",
            sentence="A generator that seeks disagreement teaches more than a random one.",
            better="zskt",
            than="untrained-generator",
            source="NeurIPS 2019, Section 3",
        ),
    ),
)
