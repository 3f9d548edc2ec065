"""The transformer against arithmetic by hand, timm's names, taps that stop where they should."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.normalize import Normalized
from bequest.nn.transformer_layers import (
    LayerTap,
    attention_relations,
    drop_path,
    transformer_blocks,
    visible_tokens,
)
from bequest.nn.vit import VisionTransformer, load_encoder, sine_cosine_positions

SIZE = (1, 8, 8)
IMAGES = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))


def vit(dim: int = 16, depth: int = 3, heads: int = 4, **options: object) -> VisionTransformer:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = VisionTransformer(
            image_size=SIZE, patch=2, dim=dim, depth=depth, heads=heads, **options
        )
        for p in made.parameters():  # biases too, so that nothing is hidden by zeros
            if p.requires_grad:
                nn.init.normal_(p, std=0.3)
    return made.eval()


def naive(network: VisionTransformer, image: Tensor) -> Tensor:
    """Head by head, token by token."""
    rows = [image[:, i : i + 2, j : j + 2].flatten() for i in (0, 2, 4, 6) for j in (0, 2, 4, 6)]
    stem = network.patch_embed.proj
    patches = torch.stack(rows) @ stem.weight.flatten(1).T + stem.bias
    x = torch.cat((network.cls_token[0], patches)) + network.pos_embed[0]
    for block in network.blocks:
        y = F.layer_norm(x, x.shape[-1:], block.norm1.weight, block.norm1.bias, 1e-6)
        q, k, v = (y @ block.attn.qkv.weight.T + block.attn.qkv.bias).chunk(3, 1)
        d = q.shape[1] // block.attn.num_heads
        heads = []
        for h in range(block.attn.num_heads):
            a, b, c = (part[:, h * d : (h + 1) * d] for part in (q, k, v))
            heads.append(torch.softmax(a @ b.T / math.sqrt(d), 1) @ c)
        x = x + torch.cat(heads, 1) @ block.attn.proj.weight.T + block.attn.proj.bias
        y = F.layer_norm(x, x.shape[-1:], block.norm2.weight, block.norm2.bias, 1e-6)
        x = x + block.mlp.fc2(F.gelu(block.mlp.fc1(y)))
    return network.norm(x)


def test_the_network_is_what_the_equations_say() -> None:
    network = vit()
    found = network.forward_features(IMAGES)
    for image, tokens in zip(IMAGES, found):
        assert torch.allclose(tokens, naive(network, image), atol=1e-4)


def test_names_and_shapes_are_timms() -> None:
    shapes = {n: tuple(t.shape) for n, t in vit(depth=1, num_classes=5).state_dict().items()}
    assert shapes == {
        "cls_token": (1, 1, 16),
        "pos_embed": (1, 17, 16),
        "patch_embed.proj.weight": (16, 1, 2, 2),
        "patch_embed.proj.bias": (16,),
        "blocks.0.norm1.weight": (16,),
        "blocks.0.norm1.bias": (16,),
        "blocks.0.attn.qkv.weight": (48, 16),
        "blocks.0.attn.qkv.bias": (48,),
        "blocks.0.attn.proj.weight": (16, 16),
        "blocks.0.attn.proj.bias": (16,),
        "blocks.0.norm2.weight": (16,),
        "blocks.0.norm2.bias": (16,),
        "blocks.0.mlp.fc1.weight": (64, 16),
        "blocks.0.mlp.fc1.bias": (64,),
        "blocks.0.mlp.fc2.weight": (16, 64),
        "blocks.0.mlp.fc2.bias": (16,),
        "norm.weight": (16,),
        "norm.bias": (16,),
        "head.weight": (5, 16),
        "head.bias": (5,),
    }


@pytest.mark.extras
def test_the_weights_load_in_timm_which_then_gives_the_same() -> None:
    timm = pytest.importorskip("timm")
    ours = vit(depth=2, num_classes=5)
    theirs = timm.models.VisionTransformer(
        img_size=8, patch_size=2, in_chans=1, embed_dim=16, depth=2, num_heads=4, num_classes=5
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    assert torch.allclose(theirs(IMAGES), ours(IMAGES), atol=1e-5)
    for layer in (1, 2):
        taps = LayerTap(ours, layer), LayerTap(theirs, layer)
        first, second = (tap.projections(IMAGES) for tap in taps)
        assert torch.allclose(first, second, atol=1e-5)


def test_positions_by_hand() -> None:
    table = sine_cosine_positions(8, 2, 3)
    assert table.shape == (6, 8)
    column, row = 2, 1
    w = (1.0, 0.01)  # 10000^0 and 10000^(-1/2)
    by_hand = [math.sin(column * w[0]), math.sin(column * w[1])]
    by_hand += [math.cos(column * w[0]), math.cos(column * w[1])]
    by_hand += [math.sin(row * w[0]), math.sin(row * w[1])]
    by_hand += [math.cos(row * w[0]), math.cos(row * w[1])]
    assert table[row * 3 + column].tolist() == pytest.approx(by_hand, abs=1e-6)


def test_the_class_token_has_no_position_and_positions_learn_nothing() -> None:
    network = vit()
    assert torch.equal(network.pos_embed[0, 0], torch.zeros(16))
    assert not network.pos_embed.requires_grad


def test_last_heads_change_the_function_and_no_shape() -> None:
    plain, other = vit(), vit(last_heads=2)
    other.load_state_dict(plain.state_dict())
    assert [block.attn.num_heads for block in other.blocks] == [4, 4, 2]
    assert not torch.allclose(plain(IMAGES), other(IMAGES))


@pytest.mark.parametrize(
    "wrong", [{"dim": 18}, {"heads": 3}, {"last_heads": 5}, {"depth": 0}], ids=str
)
def test_numbers_that_do_not_go_together_are_named(wrong: dict) -> None:
    with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
        vit(**wrong)


def test_a_classifier_takes_the_blocks_and_begins_with_its_own_norm() -> None:
    encoder = vit()
    network = VisionTransformer(
        image_size=SIZE, patch=2, dim=16, depth=3, heads=4, num_classes=5, pooling="mean"
    )
    load_encoder(network, encoder)
    tokens = LayerTap(encoder).tokens(IMAGES)
    assert torch.allclose(network.forward_features(IMAGES), tokens)
    assert torch.allclose(
        network(IMAGES), network.head(F.layer_norm(tokens[:, 1:].mean(1), (16,), eps=1e-6))
    )
    with pytest.raises(InputError, match="same depth"):
        load_encoder(network, vit(depth=2))
    with pytest.raises(InputError, match="other shapes"):
        load_encoder(network, vit(dim=32))


def test_a_tap_gives_what_the_layer_gave_and_stops_there() -> None:
    network = Normalized(vit(), [0.5], [0.25])
    tokens = naive_until = network.network.patch_embed((IMAGES - 0.5) / 0.25)
    tokens = torch.cat((network.network.cls_token.expand(3, -1, -1), naive_until), 1)
    tokens = tokens + network.network.pos_embed
    first = network.network.blocks[0](tokens)
    calls: list[int] = []
    for place, block in enumerate(network.network.blocks):
        block.register_forward_hook(lambda *_, place=place: calls.append(place))
    tap = LayerTap(network, 2)
    expected = tap.block.attn.qkv(tap.block.norm1(first))
    assert torch.allclose(tap.projections(IMAGES), expected, atol=1e-5)
    assert calls == [0], "later blocks were computed"
    assert torch.allclose(LayerTap(network, 1).tokens(IMAGES), first, atol=1e-6)
    assert not tap.block.attn.qkv._forward_hooks, "a hook was left"


def test_a_tap_sends_gradients_to_what_it_read_and_nothing_behind() -> None:
    network = vit()
    LayerTap(network).projections(IMAGES).square().sum().backward()
    touched = {name for name, p in network.named_parameters() if p.grad is not None}
    last = {
        f"blocks.2.{part}.{kind}" for part in ("norm1", "attn.qkv") for kind in ("weight", "bias")
    }
    tail = {name for name in touched if name.startswith(("blocks.2", "norm"))}
    assert tail == last


def test_the_whole_state_after_a_tap_is_free_again() -> None:
    import gc
    import weakref

    network, kept = vit(), []
    network.blocks[0].register_forward_hook(lambda _, __, out: kept.append(weakref.ref(out)))
    gc.disable()
    try:
        with torch.no_grad():
            LayerTap(network).projections(IMAGES)
        assert kept[0]() is None, "activations wait for the garbage collector"
    finally:
        gc.enable()


def test_what_is_no_transformer_is_refused_with_what_is_missing() -> None:
    with pytest.raises(InputError, match=r"Sequential.*no blocks"):
        LayerTap(nn.Sequential(nn.Linear(2, 2)))
    broken = vit()
    broken.blocks[1].attn.qkv = nn.Identity()
    with pytest.raises(InputError, match=r"Block 1 of the teacher.*attn.qkv"):
        transformer_blocks(broken, name="teacher")
    normed = vit()
    normed.blocks[0].attn.q_norm = nn.LayerNorm(4)
    with pytest.raises(InputError, match="normalises queries"):
        transformer_blocks(normed)
    with pytest.raises(InputError, match=r"Layer 4.*1 to 3"):
        LayerTap(vit(), 4)


def test_relations_are_those_of_the_layer_in_any_number_of_heads() -> None:
    network = vit()
    tokens = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
    block = network.blocks[0]
    q, k, v = block.attn.qkv(block.norm1(tokens)).chunk(3, -1)
    for heads in (0, 2, 8):
        found = attention_relations(block, tokens, heads=heads)
        d = 16 // (heads or 4)
        for h in range(heads or 4):
            part = slice(h * d, (h + 1) * d)
            for name, (a, b) in {"qk": (q, k), "vv": (v, v)}.items():
                scores = a[:, :, part] @ b[:, :, part].transpose(1, 2) / math.sqrt(d)
                assert torch.allclose(found[name][:, h], scores.softmax(-1), atol=1e-6)


def test_visible_tokens_are_the_prefix_and_those_that_are_kept() -> None:
    network = vit()
    kept = torch.tensor([[3, 0], [1, 2], [15, 7]])
    whole = LayerTap(network, 1)
    inputs: list[Tensor] = []
    network.blocks[0].norm1.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    network(IMAGES)
    with visible_tokens(network, kept):
        assert whole.projections(IMAGES).shape == (3, 3, 48)
    full, part = inputs
    assert torch.equal(part[:, 0], full[:, 0])
    for image in range(3):
        assert torch.equal(part[image, 1:], full[image, 1 + kept[image]])


def test_drop_path_leaves_out_whole_images_and_keeps_the_mean() -> None:
    network = vit(depth=2)
    many = IMAGES[:1].expand(4000, -1, -1, -1)
    with torch.no_grad():
        part = network.blocks[0].attn
        whole = part(network.blocks[0].norm1(torch.ones(1, 17, 16)))
        tokens = network.blocks[0].norm1(torch.ones(len(many), 17, 16))
        with drop_path(network, 0.25, torch.Generator().manual_seed(0)):
            thin = part(tokens)
            last = network.blocks[1].attn(tokens[:5])
    out = (thin == 0).flatten(1).all(1)
    assert out.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.allclose(thin[~out], (whole / 0.75).expand(int((~out).sum()), -1, -1), atol=1e-5)
    assert (last != 0).any(2).all(), "the last block is never left out"
    assert torch.equal(part(tokens[:1]), whole), "outside nothing is dropped"
    with (
        pytest.raises(InputError, match="drop path is 1"),
        drop_path(network, 1.0, torch.Generator()),
    ):
        pass
