"""Wide residual networks, activation before convolution.

Zagoruyko and Komodakis, "Wide Residual Networks" (BMVC 2016): ``WRN-depth-widen`` has ``6n + 4``
layers and stages of ``16, 32, 64`` channels times ``widen``. Parameter names (``block1.layer.0``,
``convShortcut``) are those under which most published CIFAR weights of this family are stored.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.initialization import initialize


class WideBlock(nn.Module):
    """BatchNorm, ReLU, 3x3 convolution, twice; a 1x1 shortcut where the channels change."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.convShortcut = (
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            if stride != 1 or in_channels != out_channels
            else None
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, h, w)`` to ``(batch, out_channels, h / stride, w / stride)``."""
        active = F.relu(self.bn1(features), inplace=True)
        out = F.relu(self.bn2(self.conv1(active)), inplace=True)
        # The paper's shortcut with weights starts after the shared activation.
        shortcut = features if self.convShortcut is None else self.convShortcut(active)
        return self.conv2(out) + shortcut


class WideStage(nn.Module):
    """Blocks of one resolution."""

    def __init__(self, in_channels: int, out_channels: int, *, blocks: int, stride: int) -> None:
        super().__init__()
        first = WideBlock(in_channels, out_channels, stride=stride)
        rest = (WideBlock(out_channels, out_channels, stride=1) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, h, w)`` to ``(batch, out_channels, h / stride, w / stride)``."""
        return self.layer(features)


class WideResNet(nn.Module):
    """WRN-depth-widen; ``forward`` maps images to logits ``(batch, classes)``."""

    def __init__(self, *, depth: int, widen: int, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise InputError(f"A wide ResNet has 6n + 4 layers (10, 16, 22, ...), not {depth}.")
        if widen < 1:
            raise InputError(f"The widening factor must be 1 or more, not {widen}.")
        blocks = (depth - 4) // 6
        widths = (16 * widen, 32 * widen, 64 * widen)
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.block1 = WideStage(16, widths[0], blocks=blocks, stride=1)
        self.block2 = WideStage(widths[0], widths[1], blocks=blocks, stride=2)
        self.block3 = WideStage(widths[1], widths[2], blocks=blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(widths[2])
        self.fc = nn.Linear(widths[2], num_classes)
        initialize(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        out = self.block3(self.block2(self.block1(self.conv1(images))))
        out = F.relu(self.bn1(out), inplace=True)
        return self.fc(F.adaptive_avg_pool2d(out, 1).flatten(1))
