"""A masked autoencoder around a vision transformer.

Kaiming He, Xinlei Chen, Saining Xie, Yanghao Li, Piotr Dollár, Ross Girshick, "Masked Autoencoders
Are Scalable Vision Learners", CVPR 2022: the encoder sees a quarter of the patches, a small decoder
guesses the pixels of the others.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.normalize import Normalized
from bequest.nn.transformer_layers import (
    prefix_tokens,
    transformer_blocks,
    unwrapped,
    visible_tokens,
)
from bequest.nn.vit import Block, initialize_transformer, sine_cosine_positions


class MaskedAutoencoder(nn.Module):
    """The encoder, and a decoder that is thrown away after pre-training.

    Args:
        encoder: A vision transformer as in timm, possibly in `Normalized`: `blocks`,
            `forward_features` and `patch_embed.patch_size`.
        image_size: `(channels, height, width)`.
        dim: Channels of the decoder's tokens, a multiple of 4.
        depth: Blocks of the decoder.
        heads: Of the decoder's attention.

    Raises:
        InputError: For an encoder that is no such transformer.
    """

    positions: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        *,
        image_size: tuple[int, int, int],
        dim: int,
        depth: int,
        heads: int,
    ) -> None:
        super().__init__()
        width = transformer_blocks(encoder, name="encoder")[0].attn.qkv.in_features
        inner: Any = unwrapped(encoder)
        if not hasattr(inner, "forward_features") or not hasattr(inner, "patch_embed"):
            raise InputError(
                f"The encoder ({type(inner).__name__}) has no forward_features or no patch_embed: "
                "a vision transformer as in timm is needed."
            )
        if dim % 4 or dim % heads:
            raise InputError(f"The decoder's dim is {dim}; 4 and its {heads} heads must divide it.")
        channels, high, wide = image_size
        self.patch = int(inner.patch_embed.patch_size[0])
        if high % self.patch or wide % self.patch:
            raise InputError(f"Patches of {self.patch} do not fit into images of {high}x{wide}.")
        rows, columns = high // self.patch, wide // self.patch
        self.patches = rows * columns
        self.encoder, self._prefix = encoder, prefix_tokens(encoder)
        self.narrow = nn.Linear(width, dim)
        self.blocks = nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pixels = nn.Linear(dim, channels * self.patch**2)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.register_buffer(
            "positions", sine_cosine_positions(dim, rows, columns)[None], persistent=False
        )
        initialize_transformer(nn.ModuleList([self.narrow, self.blocks, self.norm, self.pixels]))
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, images: Tensor, order: Tensor, visible: int) -> Tensor:
        """What the decoder guesses of the patches that were not visible.

        Args:
            images: `(batch, channels, height, width)`.
            order: `(batch, patches)`, see `random_order`.
            visible: How many of them the encoder sees.

        Returns:
            `(batch, patches - visible, channels * patch^2)`, in the order of `order[:, visible:]`.
        """
        inner: Any = unwrapped(self.encoder)
        if isinstance(self.encoder, Normalized):
            images = (images - self.encoder.mean) / self.encoder.std
        with visible_tokens(self.encoder, order[:, :visible]):
            tokens = self.narrow(inner.forward_features(images))
        prefix, seen = tokens[:, : self._prefix], tokens[:, self._prefix :]
        hidden = self.mask_token.to(seen.dtype).expand(len(seen), self.patches - visible, -1)
        # In the order of the draw: positions say where each belongs, so nothing is sorted back.
        places = self.positions.expand(len(order), -1, -1).gather(
            1, order[..., None].expand(-1, -1, self.positions.shape[-1])
        )
        known = torch.cat((seen, hidden), 1) + places
        decoded = self.norm(self.blocks(torch.cat((prefix, known), 1)))
        return self.pixels(decoded[:, self._prefix + visible :])

    def loss(
        self, images: Tensor, order: Tensor, visible: int, *, normalize: bool = True
    ) -> Tensor:
        """The mean squared error on hidden patches, each normalised by its own pixels.

        Args:
            images: `(batch, channels, height, width)` in [0, 1].
            order: `(batch, patches)`.
            visible: How many the encoder sees.
            normalize: Whether each patch's mean is taken off and its deviation divided out.

        Returns:
            A scalar, fp32.
        """
        guess = self(images, order, visible).float()
        patches = cut_patches(images, self.patch)
        hidden = order[:, visible:, None].expand(-1, -1, patches.shape[-1])
        target = patches.gather(1, hidden)
        if normalize:
            mean, variance = target.mean(-1, keepdim=True), target.var(-1, keepdim=True)
            target = (target - mean) / (variance + 1e-6).sqrt()
        return F.mse_loss(guess, target)


def random_order(batch: int, patches: int, rng: torch.Generator) -> Tensor:
    """A random order of the patches of each image, `(batch, patches)` int64."""
    return torch.rand(batch, patches, generator=rng, device=rng.device).argsort(1)


def cut_patches(images: Tensor, patch: int) -> Tensor:
    """`(batch, channels, height, width)` to `(batch, patches, channels * patch^2)`, row by row."""
    return F.unfold(images, patch, stride=patch).transpose(1, 2)
