"""Networks that turn latent vectors into images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bequest.errors import InputError


class ImageGenerator(nn.Module):
    """A small convolutional generator (Fast-Datafree's, after DCGAN and DAFL).

    Linear to a coarse map, BatchNorm, then per doubling: upsample x2, 3x3 convolution, BatchNorm,
    LeakyReLU 0.2; last a 3x3 convolution and a sigmoid. The first map is at most 8 pixels wide
    and there are at least two doublings, so 32 pixels start at 8 and 224 at 7.

    With `pixels`, the last convolution goes through a BatchNorm without weights to that mean and
    spread, and what leaves [0, 1] is cut off. The generators of DAFL, ZSKT and DFQ end so, in the
    teacher's normalised values: images differ from the first step, where a sigmoid starts with one
    grey and can stay with two.

    Args:
        latent_dim: Length of the latent vector.
        image_size: `(channels, height, width)`, height and width at least 4.
        width: Channels of the last hidden layer (`ngf`); the layers before have twice as many.
        pixels: Mean and standard deviation that the images of a batch have before they are cut
            to [0, 1], each `(channels,)`; None ends in a sigmoid.

    Shapes:
        `(batch, latent_dim)` to `(batch, channels, height, width)` in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        latent_dim: int,
        image_size: tuple[int, int, int],
        *,
        width: int = 64,
        pixels: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        channels, height, wide = image_size
        if min(height, wide) < 4:
            raise InputError(f"images of {height}x{wide} are too small; at least 4x4 is needed.")
        doublings = 2
        while max(height, wide) > 8 * 2**doublings:
            doublings += 1
        self.latent_dim = latent_dim
        self.image_size = (channels, height, wide)
        self.first_size = (-(-height // 2**doublings), -(-wide // 2**doublings))
        self.first = nn.Linear(latent_dim, 2 * width * self.first_size[0] * self.first_size[1])
        layers: list[nn.Module] = [nn.BatchNorm2d(2 * width)]
        for index in range(doublings):
            out = width if index == doublings - 1 else 2 * width
            layers += [
                nn.Upsample(scale_factor=2),
                nn.Conv2d(2 * width, out, 3, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.body = nn.Sequential(*layers)
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        self.spread = None if pixels is None else nn.BatchNorm2d(channels, affine=False)
        if pixels is not None:
            for name, values in zip(("mean", "std"), pixels):
                buffer = values.detach().expand(channels).clone().view(1, -1, 1, 1)
                self.register_buffer(name, buffer, persistent=False)

    def forward(self, latent: Tensor) -> Tensor:
        """Images in [0, 1] for `latent`, cropped where the size is no multiple of the doublings."""
        start = self.first(latent).view(len(latent), -1, *self.first_size)
        start = start.contiguous(memory_format=torch.channels_last)
        images = self.last(self.body(start)).float()
        if self.spread is None:
            images = torch.sigmoid(images)
        else:
            images = (self.mean + self.std * self.spread(images)).clamp(0, 1)
        _, height, width = self.image_size
        return images[:, :, :height, :width]
