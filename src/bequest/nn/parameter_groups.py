"""Parameters in groups for an optimizer: without weight decay where it harms, slower in depth."""

from __future__ import annotations

from typing import Any

from torch import nn

from bequest.errors import InputError

_STEM = ("cls_token", "pos_embed", "dist_token", "reg_token", "patch_embed")


def decay_groups(network: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: weight decay for matrices, none for vectors (biases, norms) and tokens.

    Args:
        network: Parameters that take no gradient are left out.
        weight_decay: Of the first group.
    """
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    decayed = [p for name, p in trained if _decays(name, p)]
    others = [p for name, p in trained if not _decays(name, p)]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def layer_decay_groups(
    network: nn.Module, *, weight_decay: float, layer_decay: float, depth: int
) -> list[dict[str, Any]]:
    """Groups by depth, whose `rate_scale` says how much of the learning rate they get.

    Bao et al., "BEiT", ICLR 2022, as in MAE's fine-tuning: with `n = depth + 1`, embeddings get
    `layer_decay^n`, block i (from 0) `layer_decay^(n - i - 1)`, and all behind the blocks 1.

    Args:
        network: A vision transformer with parameters named as in timm; may be wrapped.
        weight_decay: Of matrices.
        layer_decay: In (0, 1]; 1 is no decay.
        depth: Number of blocks.

    Raises:
        InputError: For a decay out of range.
    """
    if not 0 < layer_decay <= 1:
        raise InputError(f"layer_decay is {layer_decay}; it must be above 0 and at most 1.")
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        level, decays = layer_of(name, depth), _decays(name, parameter)
        group = groups.setdefault(
            (level, decays),
            {
                "params": [],
                "weight_decay": weight_decay if decays else 0.0,
                "rate_scale": layer_decay ** (depth + 1 - level),
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def layer_of(name: str, depth: int) -> int:
    """0 for embeddings, i + 1 for block i, `depth + 1` for all else, from a parameter's name."""
    parts = name.split(".")
    if any(part in _STEM for part in parts):
        return 0
    if "blocks" in parts:
        return int(parts[parts.index("blocks") + 1]) + 1
    return depth + 1


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and not name.endswith(("cls_token", "pos_embed", "dist_token"))
