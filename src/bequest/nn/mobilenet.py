"""MobileNetV2 with strides for 32x32 images.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018), table 2. The
stem and the first stage of 24 channels keep their resolution (stride 1), so that 32x32 images end
as 4x4 maps. Parameter names are those of torchvision, whose weights can be loaded.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bequest.nn.initialization import initialize

# Expansion, channels, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expansion by 1x1, depthwise 3x3, linear projection by 1x1."""

    def __init__(self, in_channels: int, out_channels: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_convolution(in_channels, hidden, size=1))
        layers.append(_convolution(hidden, hidden, size=3, stride=stride, groups=hidden))
        layers.append(nn.Conv2d(hidden, out_channels, 1, bias=False))
        layers.append(nn.BatchNorm2d(out_channels))
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, h, w)`` to ``(batch, out_channels, h / stride, w / stride)``."""
        out = self.conv(features)
        return features + out if self.residual else out


class MobileNetV2(nn.Module):
    """MobileNetV2 of width 1; ``forward`` maps images to logits ``(batch, classes)``."""

    def __init__(self, *, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(in_channels, 32, size=3)]
        channels = 32
        for expansion, width, blocks, stride in _STAGES:
            for position in range(blocks):
                layers.append(
                    InvertedResidual(
                        channels,
                        width,
                        expansion=expansion,
                        stride=stride if position == 0 else 1,
                    )
                )
                channels = width
        layers.append(_convolution(channels, 1280, size=1))
        self.features = nn.Sequential(*layers)
        # The usual dropout stands first in the head; without it a step of training draws nothing
        # from the global generator, and the linear layer keeps its usual name.
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(1280, num_classes))
        initialize(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        return self.classifier(F.adaptive_avg_pool2d(self.features(images), 1).flatten(1))


def _convolution(
    in_channels: int, out_channels: int, *, size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )
