"""Layer decay against MAE's rule, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.nn.normalize import Normalized
from bequest.nn.parameter_groups import decay_groups, layer_decay_groups, layer_of
from bequest.nn.vit import VisionTransformer


def network() -> Normalized:
    vit = VisionTransformer(
        image_size=(1, 4, 4), patch=2, dim=8, depth=2, heads=2, num_classes=3, pooling="mean"
    )
    return Normalized(vit, [0.0], [1.0])


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("network.cls_token", 0),
        ("patch_embed.proj.weight", 0),
        ("blocks.0.norm1.bias", 1),
        ("network.blocks.1.attn.qkv.weight", 2),
        ("fc_norm.weight", 3),
        ("head.bias", 3),
    ],
)
def test_layers_by_name(name: str, level: int) -> None:
    assert layer_of(name, 2) == level


def test_rates_fall_with_depth_and_vectors_are_not_decayed() -> None:
    net = network()
    groups = layer_decay_groups(net, weight_decay=0.1, layer_decay=0.5, depth=2)
    by_parameter = {p: group for group in groups for p in group["params"]}
    named = {n.removeprefix("network."): p for n, p in net.named_parameters()}
    expected = {
        "cls_token": (0.125, 0.0),
        "patch_embed.proj.weight": (0.125, 0.1),
        "patch_embed.proj.bias": (0.125, 0.0),
        "blocks.0.attn.qkv.weight": (0.25, 0.1),
        "blocks.1.mlp.fc1.bias": (0.5, 0.0),
        "fc_norm.weight": (1.0, 0.0),
        "head.weight": (1.0, 0.1),
    }
    for name, (scale, decay) in expected.items():
        group = by_parameter[named[name]]
        assert (group["rate_scale"], group["weight_decay"]) == (scale, decay), name
    assert named["pos_embed"] not in by_parameter
    trained = [p for p in net.parameters() if p.requires_grad]
    assert sum(len(g["params"]) for g in groups) == len(trained) == len(by_parameter)


def test_two_groups_hold_each_trained_parameter_once() -> None:
    net = network()
    decayed, others = decay_groups(net, weight_decay=0.1)
    assert decayed["weight_decay"] == 0.1
    assert others["weight_decay"] == 0.0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert any(p is net.network.cls_token for p in others["params"])
    torch.optim.AdamW([decayed, others])


def test_a_decay_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="layer_decay is 0"):
        layer_decay_groups(network(), weight_decay=0.1, layer_decay=0, depth=2)
