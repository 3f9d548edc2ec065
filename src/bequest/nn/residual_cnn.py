"""A plain convolutional denoiser, which promises nothing.

Kai Zhang and others, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image
Denoising", IEEE Transactions on Image Processing 2017, without BatchNorm.
"""

from __future__ import annotations

from torch import Tensor, nn

from bequest.errors import InputError


class ResidualCNN(nn.Module):
    """Predicts the noise and takes it away.

    Args:
        width: Channels of the inner layers.
        depth: 3x3 convolutions, 2 or more.

    Shapes:
        `(batch, 1, height, width)` to the same.
    """

    def __init__(self, *, width: int = 64, depth: int = 17) -> None:
        super().__init__()
        if depth < 2 or width < 1:
            raise InputError(f"depth is {depth} and width {width}: at least 2 and 1 are needed.")
        layers: list[nn.Module] = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
        self.noise = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, noisy: Tensor) -> Tensor:
        """The denoised images."""
        return noisy - self.noise(noisy)
