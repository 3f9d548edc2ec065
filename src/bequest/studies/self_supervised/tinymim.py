"""TinyMIM against other targets, other layers, MAE of the same size, and no pre-training."""

from __future__ import annotations

from typing import Any

from bequest.methods.base import change
from bequest.methods.self_supervised.mae import MAE
from bequest.methods.self_supervised.tinymim import TinyMIM
from bequest.methods.self_supervised.untrained import Untrained
from bequest.studies.base import Claim, Study
from bequest.studies.self_supervised.setting import NOTES, SETTINGS, SIZES, budget, execute

# What every arm of a size shares.
_SHARED: dict[str, dict[str, Any]] = {
    "default": {
        "steps": 300,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "smallest_crop": 0.6,
        "flip": False,
    },
    "smoke": {
        "steps": 20,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "smallest_crop": 0.6,
        "flip": False,
    },
    "cifar10": {"steps": 20_000, "batch_size": 256, "learning_rate": 1e-3},
    "tiny-imagenet-100": {"steps": 20_000, "batch_size": 256, "learning_rate": 1e-3},
}

_LONG = 4
"""So many steps of MAE cost at least the FLOPs of one of TinyMIM, its teacher included."""


def arms(size: str) -> dict[str, Any]:
    """TinyMIM, its ablations, MAE of the student's size, and no pre-training."""
    shared = _SHARED[size]
    ours = TinyMIM(**shared)
    mae = MAE(**SETTINGS[size].pretraining | shared)
    return {
        "tinymim": ours,
        "untrained": Untrained(),
        "mae": mae,
        "mae-long": change(mae, steps=_LONG * ours.steps),
        "features": change(ours, target="features"),
        "class-token": change(ours, target="class-token"),
        "last-layer": change(ours, teacher_layer=SETTINGS[size].teacher.depth),
        "strong-drop-path": change(ours, drop_path=0.4),
        "sequential": change(ours, sequential=True),
        "masked-input": change(ours, mask_ratio=0.75),
        "no-softmax": change(ours, softmax=False),
        "mean-head": change(ours, heads="mean"),
        "qk-alone": change(ours, relations=("qk",)),
        "vv-alone": change(ours, relations=("vv",)),
        "qq-kk-vv": change(ours, relations=("qq", "kk", "vv")),
    }


study = Study(
    id="tinymim",
    arms=arms,
    execute=execute,
    sizes=SIZES,
    budget=budget,
    data=NOTES,
    claims=(
        Claim(
            id="beats-no-pre-training",
            sentence="Fine-tuned, a student of TinyMIM beats one that was not pre-trained.",
            better="tinymim",
            than="untrained",
            source="CVPR 2023, comparison with DeiT",
        ),
        Claim(
            id="beats-mae",
            sentence="Fine-tuned, a student of TinyMIM beats one pre-trained by MAE for as many "
            "steps.",
            better="tinymim",
            than="mae",
            source="CVPR 2023, abstract",
        ),
        Claim(
            id="beats-long-mae",
            sentence="Fine-tuned, a student of TinyMIM beats one pre-trained by MAE for at least "
            "as many FLOPs, the teacher's included.",
            better="tinymim",
            than="mae-long",
            source="CVPR 2023, abstract, at equal cost",
        ),
        Claim(
            id="relations-beat-features",
            sentence="Relations are a better target than features.",
            better="tinymim",
            than="features",
            source="CVPR 2023, abstract",
        ),
        Claim(
            id="relations-beat-class-token",
            sentence="Relations are a better target than the class token.",
            better="tinymim",
            than="class-token",
            source="CVPR 2023, abstract",
        ),
        Claim(
            id="intermediate-layer-beats-last",
            sentence="A layer at three quarters of a deeper teacher teaches better than its last.",
            better="tinymim",
            than="last-layer",
            source="CVPR 2023, abstract",
        ),
        Claim(
            id="weak-drop-path-is-best",
            sentence="A drop path of 0.1 in pre-training beats one of 0.4.",
            better="tinymim",
            than="strong-drop-path",
            source="CVPR 2023, abstract",
        ),
        Claim(
            id="sequence-contributes",
            sentence="A student taught by way of a middle network beats one taught by the teacher.",
            better="sequential",
            than="tinymim",
            source="CVPR 2023, abstract; published chain",
        ),
        Claim(
            id="raw-input-beats-masked",
            sentence="Raw input beats input of which three quarters are masked.",
            better="tinymim",
            than="masked-input",
            source="CVPR 2023, published recipe",
        ),
        Claim(
            id="softmax-contributes",
            sentence="Relations with softmax beat scores without.",
            better="tinymim",
            than="no-softmax",
            source="CVPR 2023, ablation",
        ),
        Claim(
            id="heads-contribute",
            sentence="As many heads as the teacher's layer beat relations averaged over heads.",
            better="tinymim",
            than="mean-head",
            source="CVPR 2023, ablation",
        ),
    ),
)
