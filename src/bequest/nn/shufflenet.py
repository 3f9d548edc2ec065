"""ShuffleNetV2 with a stem for 32x32 images.

Ma et al., "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design" (ECCV 2018),
table 5, width 1. The stem has stride 1 and no max pooling, so that 32x32 images end as 4x4 maps.
Parameter names are those of torchvision, whose weights can be loaded.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bequest.nn.initialization import initialize

_STEM = 24
_STAGES = ((116, 4), (232, 8), (464, 4))
_HEAD = 1024


def interleave(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Concatenates two halves and shuffles them in two groups: channels alternate.

    Args:
        first: ``(batch, channels, height, width)``; gives the even channels.
        second: the same shape; gives the odd channels.

    Returns:
        ``(batch, 2 * channels, height, width)``, in the channels_last memory format.
    """
    # With channels last the two halves interleave in one copy, and stay channels last.
    halves = (first.permute(0, 2, 3, 1), second.permute(0, 2, 3, 1))
    return torch.stack(halves, dim=4).flatten(3).permute(0, 3, 1, 2)


class ShuffleUnit(nn.Module):
    """Half of the channels pass, half are convolved; with stride 2 both halves are convolved."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.stride = stride
        branch_channels = in_channels if stride == 2 else half
        self.branch1 = nn.Sequential()
        if stride == 2:
            self.branch1 = nn.Sequential(
                nn.Conv2d(in_channels, in_channels, 3, 2, 1, groups=in_channels, bias=False),
                nn.BatchNorm2d(in_channels),
                nn.Conv2d(in_channels, half, 1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(inplace=True),
            )
        self.branch2 = nn.Sequential(
            nn.Conv2d(branch_channels, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, stride, 1, groups=half, bias=False),
            nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(batch, in_channels, h, w)`` to ``(batch, out_channels, h / stride, w / stride)``."""
        if self.stride == 2:
            return interleave(self.branch1(features), self.branch2(features))
        passed, convolved = features.chunk(2, dim=1)
        return interleave(passed, self.branch2(convolved))


class ShuffleNetV2(nn.Module):
    """ShuffleNetV2 of width 1; ``forward`` maps images to logits ``(batch, classes)``."""

    def __init__(self, *, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = _convolution(in_channels, _STEM, size=3)
        stages = []
        channels = _STEM
        for width, units in _STAGES:
            stage = [ShuffleUnit(channels, width, stride=2)]
            stage += [ShuffleUnit(width, width, stride=1) for _ in range(units - 1)]
            stages.append(nn.Sequential(*stage))
            channels = width
        self.stage2, self.stage3, self.stage4 = stages
        self.conv5 = _convolution(channels, _HEAD, size=1)
        self.fc = nn.Linear(_HEAD, num_classes)
        initialize(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        out = self.stage4(self.stage3(self.stage2(self.conv1(images))))
        return self.fc(F.adaptive_avg_pool2d(self.conv5(out), 1).flatten(1))


def _convolution(in_channels: int, out_channels: int, *, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, 1, size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
