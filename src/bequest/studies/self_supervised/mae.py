"""Masked autoencoders of the student's size, against their own choices and no pre-training."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.studies.base import Claim, Study
from bequest.studies.self_supervised import tinymim
from bequest.studies.self_supervised.setting import NOTES, SIZES, budget, execute


def arms(size: str) -> dict[str, Any]:
    """MAE, less masked, with raw pixels, and no pre-training."""
    others = tinymim.arms(size)
    ours = others["mae-long"]
    return {
        "mae": ours,
        "mask-half": change(ours, mask_ratio=0.5),
        "raw-pixels": change(ours, normalize_patches=False),
        "untrained": others["untrained"],
    }


study = Study(
    id="mae",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    claims=(
        Claim(
            id="beats-no-pre-training",
            sentence="Fine-tuned, a network pre-trained by MAE beats one that was not.",
            better="mae",
            than="untrained",
            source="CVPR 2022",
        ),
        Claim(
            id="heavy-masks-beat-light-ones",
            sentence="Masking three quarters of the patches beats masking half.",
            better="mae",
            than="mask-half",
            source="CVPR 2022, ablation of the mask ratio",
        ),
        Claim(
            id="normalised-patches-beat-raw-pixels",
            sentence="Guessing normalised patches beats guessing pixels.",
            better="mae",
            than="raw-pixels",
            source="CVPR 2022, ablation of the target",
        ),
    ),
)
