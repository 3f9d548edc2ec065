"""A small encoder-decoder with BatchNorm: from images to logits for each pixel."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.initialization import initialize


class UNet(nn.Module):
    """Down by pooling, up again, with a shortcut at each resolution.

    After Ronneberger et al., "U-Net" (MICCAI 2015), but padded, with BatchNorm, and with shortcuts
    that are added instead of concatenated, as in LinkNet (Chaurasia and Culurciello, VCIP 2017):
    that halves the arithmetic, most of which is at the full resolution.

    Level `l` has `width * 2^l` channels at `1 / 2^l` of the resolution; two 3x3 convolutions on
    the way down, one on the way up. Images may have any height and width of at least `2^depth`.

    Args:
        width: Channels at the full resolution.
        num_classes: Logits of each pixel.
        in_channels: Channels of the images.
        depth: How often the resolution is halved.

    Shapes:
        `(batch, in_channels, height, width)` to `(batch, num_classes, height, width)`.

    Raises:
        InputError: For numbers out of range, and for smaller images.
    """

    def __init__(
        self, *, width: int, num_classes: int, in_channels: int = 3, depth: int = 3
    ) -> None:
        super().__init__()
        if min(width, depth, in_channels) < 1 or num_classes < 2:
            raise InputError(
                f"width {width}, depth {depth}, in_channels {in_channels}, num_classes "
                f"{num_classes}: the first three must be at least 1, classes at least 2."
            )
        self.depth = depth
        widths = [width * 2**level for level in range(depth + 1)]
        before = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(*_block(a, b, 3), *_block(b, b, 3)) for a, b in zip(before, widths)
        )
        self.narrow = nn.ModuleList(
            nn.Sequential(*_block(wide, slim, 1)) for slim, wide in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(nn.Sequential(*_block(slim, slim, 3)) for slim in widths[:-1])
        self.head = nn.Conv2d(width, num_classes, 1)
        initialize(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images to logits of each pixel."""
        if min(images.shape[-2:]) < 2**self.depth:
            size = "x".join(str(length) for length in images.shape[-2:])
            raise InputError(
                f"A U-Net that halves {self.depth} times needs images of {2**self.depth} pixels "
                f"or more in height and width, not {size}: give it a smaller depth."
            )
        shortcuts: list[torch.Tensor] = []
        out = images
        for level, block in enumerate(self.down):
            out = block(out if level == 0 else F.max_pool2d(out, 2))
            shortcuts.append(out)
        for level in reversed(range(self.depth)):
            shortcut = shortcuts[level]
            # To the shortcut's size, which is no double where a side was odd.
            out = F.interpolate(self.narrow[level](out), size=shortcut.shape[-2:], mode="nearest")
            out = self.up[level](out + shortcut)
        return self.head(out)


def _block(before: int, after: int, kernel: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
