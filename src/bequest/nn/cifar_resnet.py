"""Thin residual networks for 32x32 images, with shortcuts that have no weights.

He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016), section 4.2: three stages of
16, 32 and 64 channels and ``6n + 2`` layers; shortcuts of option A (subsample, pad with zeros).
Parameter names are those of akamaster/pytorch_resnet_cifar10, whose trained weights can be loaded.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.initialization import initialize


def subsample_and_pad(images: torch.Tensor, *, out_channels: int, stride: int) -> torch.Tensor:
    """The shortcut of option A: keeps every ``stride``-th pixel, adds channels of zeros.

    Args:
        images: ``(batch, channels, height, width)``.
        out_channels: at least ``channels``; half of the new ones come before, half after.
        stride: subsampling of height and width.

    Returns:
        ``(batch, out_channels, ceil(height / stride), ceil(width / stride))``, in the memory
        format of the input.
    """
    added = out_channels - images.shape[1]
    before = added // 2
    return F.pad(images[:, :, ::stride, ::stride], (0, 0, 0, 0, before, added - before))


class CifarBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without weights."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, h, w)`` to ``(batch, out_channels, h / stride, w / stride)``."""
        out = F.relu(self.bn1(self.conv1(features)), inplace=True)
        out = self.bn2(self.conv2(out))
        channels = out.shape[1]
        if self.stride != 1 or channels != features.shape[1]:
            features = subsample_and_pad(features, out_channels=channels, stride=self.stride)
        return F.relu(out + features, inplace=True)


class CifarResNet(nn.Module):
    """ResNet of ``6n + 2`` layers; ``forward`` maps images to logits ``(batch, classes)``."""

    def __init__(self, *, depth: int, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise InputError(f"A CIFAR ResNet has 6n + 2 layers (8, 14, 20, ...), not {depth}.")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks=blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks=blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks=blocks, stride=2)
        self.linear = nn.Linear(64, num_classes)
        initialize(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        out = F.relu(self.bn1(self.conv1(images)), inplace=True)
        out = self.layer3(self.layer2(self.layer1(out)))
        return self.linear(F.adaptive_avg_pool2d(out, 1).flatten(1))


def _stage(in_channels: int, out_channels: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = CifarBlock(in_channels, out_channels, stride=stride)
    rest = (CifarBlock(out_channels, out_channels, stride=1) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
