"""A plain vision transformer, small and for small images.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, as Masked Autoencoders (He et al.,
CVPR 2022) use it: fixed sine-cosine positions, Xavier-uniform linear layers, LayerNorm with 1e-6.
Parameters are named as in timm's VisionTransformer, so that the weights load there.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError

_EPSILON = 1e-6


class VisionTransformer(nn.Module):
    """Patches and a class token through blocks of attention.

    Args:
        image_size: `(channels, height, width)`.
        patch: Side of a patch; divides height and width.
        dim: Channels of a token; a multiple of 4, for the positions.
        depth: Blocks.
        heads: Of each block; divides `dim`.
        last_heads: Of the last block, where they differ; the weights have the same shapes.
        mlp_ratio: Width of a block's MLP over `dim`.
        num_classes: Logits; 0 leaves the head out.
        pooling: What the head takes: the class token behind `norm`, or the mean of the patch tokens
            behind `fc_norm` (as MAE fine-tunes).

    Shapes:
        `(batch, channels, height, width)` to `(batch, num_classes)`, or `(batch, dim)` without.

    Raises:
        InputError: For numbers that do not go together.

    Example:
        >>> vit = VisionTransformer(image_size=(1, 8, 8), patch=2, dim=16, depth=2, heads=2)
        >>> vit.forward_features(torch.rand(3, 1, 8, 8)).shape
        torch.Size([3, 17, 16])
    """

    num_prefix_tokens = 1

    def __init__(
        self,
        *,
        image_size: tuple[int, int, int],
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        last_heads: int | None = None,
        mlp_ratio: float = 4.0,
        num_classes: int = 0,
        pooling: Literal["token", "mean"] = "token",
    ) -> None:
        super().__init__()
        channels, height, width = image_size
        last_heads = heads if last_heads is None else last_heads
        if min(patch, dim, depth, heads, last_heads) < 1 or height % patch or width % patch:
            raise InputError(
                f"patch {patch}, dim {dim}, depth {depth}, heads {heads} and {last_heads} must be "
                f"at least 1, and the patch must divide the image of {height}x{width}."
            )
        if dim % 4 or dim % heads or dim % last_heads:
            raise InputError(
                f"dim is {dim}; 4, for the positions, and the numbers of heads, {heads} and "
                f"{last_heads}, must divide it."
            )
        self.embed_dim, self.num_classes, self.pooling = dim, num_classes, pooling
        self.patch_embed = PatchEmbedding(channels, dim, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        grid = height // patch, width // patch
        positions = torch.cat((torch.zeros(1, dim), sine_cosine_positions(dim, *grid)))
        self.pos_embed = nn.Parameter(positions[None], requires_grad=False)
        self.blocks = nn.Sequential(
            *(Block(dim, heads, mlp_ratio) for _ in range(depth - 1)),
            Block(dim, last_heads, mlp_ratio),
        )
        means = pooling == "mean"
        self.norm = nn.Identity() if means else nn.LayerNorm(dim, eps=_EPSILON)
        self.fc_norm = nn.LayerNorm(dim, eps=_EPSILON) if means else nn.Identity()
        self.head = nn.Linear(dim, num_classes) if num_classes else nn.Identity()
        initialize_transformer(self)
        nn.init.normal_(self.cls_token, std=0.02)
        if isinstance(self.head, nn.Linear):
            nn.init.trunc_normal_(self.head.weight, std=2e-5)  # MAE: fine-tuning starts at chance

    def forward_features(self, images: Tensor) -> Tensor:
        """Images to all tokens behind the last block, class token first, `(batch, tokens, dim)`."""
        patches = self.patch_embed(images)
        first = self.cls_token.expand(len(patches), -1, -1).to(patches.dtype)
        tokens = torch.cat((first, patches), 1) + self.pos_embed
        return self.norm(self.blocks(tokens))

    def forward(self, images: Tensor) -> Tensor:
        """Images to logits, or to the pooled feature where there is no head."""
        tokens = self.forward_features(images)
        pooled = tokens[:, 1:].mean(1) if self.pooling == "mean" else tokens[:, 0]
        return self.head(self.fc_norm(pooled))


class PatchEmbedding(nn.Module):
    """Each patch to a token, `(batch, channels, height, width)` to `(batch, patches, dim)`."""

    def __init__(self, channels: int, dim: int, patch: int) -> None:
        super().__init__()
        self.patch_size = (patch, patch)
        self.proj = nn.Conv2d(channels, dim, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        return self.proj(images).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Attention and MLP, each behind a LayerNorm and beside a shortcut."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 4.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_EPSILON)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=_EPSILON)
        self.mlp = MLP(dim, int(dim * mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens `(batch, tokens, dim)` to tokens."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class Attention(nn.Module):
    """Self-attention; `qkv` gives queries, keys and values of all heads at once."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens `(batch, tokens, dim)` to tokens."""
        batch, count, dim = tokens.shape
        parts = self.qkv(tokens).view(batch, count, 3, self.num_heads, dim // self.num_heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, count, dim))


class MLP(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens `(batch, tokens, dim)` to tokens."""
        return self.fc2(F.gelu(self.fc1(tokens)))


def load_encoder(network: VisionTransformer, encoder: nn.Module) -> None:
    """Copies embeddings and blocks of a pre-trained transformer into one that classifies.

    The norm before the head and the head itself stay as they are; so MAE begins fine-tuning with
    `pooling="mean"`.

    Raises:
        InputError: When the two are not of one shape.
    """
    weights = {
        name: value
        for name, value in encoder.state_dict().items()
        if not name.startswith(("norm.", "fc_norm.", "head."))
    }
    try:
        found = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InputError(f"The pre-trained weights are of other shapes: {error}") from error
    lost = [n for n in found.missing_keys if not n.startswith(("norm.", "fc_norm.", "head."))]
    if lost or found.unexpected_keys:
        raise InputError(
            f"The pre-trained weights lack {lost[:5]} and have {found.unexpected_keys[:5]} "
            "besides: take a network of the same depth."
        )


def sine_cosine_positions(dim: int, rows: int, columns: int) -> Tensor:
    """Fixed positions of a grid: half of the channels for the column, half for the row.

    Of each half, the first part is sin(p w_i), the second cos(p w_i), w_i = 10000^(-i / (dim / 4)).

    Args:
        dim: Channels, a multiple of 4.
        rows: Patches from top to bottom.
        columns: Patches from left to right.

    Returns:
        `(rows * columns, dim)`, row by row. MAE's `get_2d_sincos_pos_embed` counts like this.
    """
    quarter = dim // 4
    frequencies = 10000 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [place.reshape(-1, 1) * frequencies for place in (column, row)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], 1).float()


def initialize_transformer(network: nn.Module) -> None:
    """Xavier-uniform linear layers and patch embeddings without biases, in place (MAE).

    Draws from torch's global generator; parameters of other kinds keep what they have.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
