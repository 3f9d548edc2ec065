"""Small networks for images of 8x8 to 28x28: they train in seconds on a CPU."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn.initialization import initialize


class ConvNet(nn.Module):
    """Five 3x3 convolutions with BatchNorm, global average pooling, a linear layer.

    Channels are ``width`` times 1, 2, 2, 4, 4; the second and the fourth convolution halve the
    resolution. ``forward`` maps images to logits ``(batch, classes)``.
    """

    def __init__(self, *, width: int, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        if width < 1:
            raise InputError(f"The width must be 1 or more, not {width}.")
        layers: list[nn.Module] = []
        channels = in_channels
        for factor, stride in ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1)):
            convolution = nn.Conv2d(channels, factor * width, 3, stride, 1, bias=False)
            channels = factor * width
            layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)
        initialize(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(batch, channels, height, width)`` to logits ``(batch, classes)``."""
        return self.classifier(F.adaptive_avg_pool2d(self.features(images), 1).flatten(1))


class LeNet5(nn.Module):
    """LeNet-5 with BatchNorm, ReLU and max pooling, for 28x28 images.

    LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (Proc. IEEE 1998),
    figure 2: convolutions of 6, 16 and 120 channels, a hidden layer of 84. The third convolution
    sees a 5x5 map, to which maps of other image sizes are pooled.

    Args:
        divisor: divides the width of every layer but the last (2 halves it).
    """

    def __init__(self, *, num_classes: int, in_channels: int = 3, divisor: int = 1) -> None:
        super().__init__()
        if divisor not in (1, 2):
            raise InputError(f"LeNet-5 can be divided by 1 or 2, not by {divisor}.")
        first, second, third, hidden = (width // divisor for width in (6, 16, 120, 84))
        self.conv1 = nn.Conv2d(in_channels, first, 5, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 5, bias=False)
        self.bn2 = nn.BatchNorm2d(second)
        self.conv3 = nn.Conv2d(second, third, 5, bias=False)
        self.bn3 = nn.BatchNorm2d(third)
        self.fc1 = nn.Linear(third, hidden)
        self.fc2 = nn.Linear(hidden, num_classes)
        initialize(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``(batch, channels, height, width)`` to logits ``(batch, classes)``.

        Raises:
            InputError: if the images are smaller than 12x12.
        """
        if min(images.shape[-2:]) < 12:
            size = "x".join(str(length) for length in images.shape[-2:])
            raise InputError(f"LeNet-5 needs images of 12x12 or more, not {size}: try convnet16.")
        out = F.max_pool2d(F.relu(self.bn1(self.conv1(images)), inplace=True), 2)
        out = F.max_pool2d(F.relu(self.bn2(self.conv2(out)), inplace=True), 2)
        out = F.adaptive_avg_pool2d(out, 5)
        out = F.relu(self.bn3(self.conv3(out)), inplace=True).flatten(1)
        return self.fc2(F.relu(self.fc1(out), inplace=True))
