"""VGG with BatchNorm and a single linear layer as head.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(ICLR 2015), table 1, configurations A, B, D and E, and the 8-layer variant that the distillation
literature uses. Convolutions keep their bias and parameters are named as in torchvision's
``vgg*_bn``, so that the ``features`` of those can be loaded.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.initialization import initialize

# Channels of each stage; a max pooling stands between two stages.
_STAGES = {
    8: ((64,), (128,), (256,), (512,), (512,)),
    11: ((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2),
    13: ((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2),
    16: ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
}


class VGG(nn.Module):
    """VGG-depth with BatchNorm; ``forward`` maps images to logits ``(batch, classes)``."""

    def __init__(self, *, depth: int, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        if depth not in _STAGES:
            raise InputError(f"VGG depth must be one of {sorted(_STAGES)}, not {depth}.")
        layers: list[nn.Module] = []
        channels = in_channels
        for index, stage in enumerate(_STAGES[depth]):
            if index > 0:
                # Rounding up changes nothing for 32x32 and lets images of 8x8 through.
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for width in stage:
                convolution = nn.Conv2d(channels, width, 3, padding=1)
                layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)
        initialize(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        return self.classifier(F.adaptive_avg_pool2d(self.features(images), 1).flatten(1))
