"""ResNet-18, -34 and -50 with a stem for 32x32 images.

He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), table 1, with a 3x3 stem of
stride 1 and no max pooling, projection shortcuts (option B), and the stride of a bottleneck on its
3x3 convolution. Parameter names are those of torchvision, so that weights of networks that differ
only in their stem can be loaded.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.initialization import initialize

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _projection(in_channels, width, stride=stride)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, h, w)`` to ``(batch, width, h / stride, w / stride)``."""
        out = F.relu(self.bn1(self.conv1(features)), inplace=True)
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.downsample(features), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution; four times as many channels out as within."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = _projection(in_channels, out_channels, stride=stride)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, h, w)`` to ``(batch, 4 * width, h / stride, w / stride)``."""
        out = F.relu(self.bn1(self.conv1(features)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        return F.relu(out + self.downsample(features), inplace=True)


class ResNet(nn.Module):
    """ResNet with four stages; ``forward`` maps images to logits ``(batch, classes)``."""

    def __init__(self, *, depth: int, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        if depth not in _BLOCKS:
            raise InputError(f"ResNet depth must be one of {sorted(_BLOCKS)}, not {depth}.")
        block = Bottleneck if depth >= 50 else BasicBlock
        self.conv1 = nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        stages = []
        channels = 64
        for index, blocks in enumerate(_BLOCKS[depth]):
            width = 64 * 2**index
            stage: list[nn.Module] = []
            for position in range(blocks):
                stride = 2 if index > 0 and position == 0 else 1
                stage.append(block(channels, width, stride=stride))
                channels = width * block.expansion
            stages.append(nn.Sequential(*stage))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(channels, num_classes)
        initialize(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        out = F.relu(self.bn1(self.conv1(images)), inplace=True)
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return self.fc(F.adaptive_avg_pool2d(out, 1).flatten(1))


def _projection(in_channels: int, out_channels: int, *, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))
