"""Images that look as if they came from elsewhere: their first two moments mixed with others'."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError

_EPSILON = 1e-6


def mix_statistics(images: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """Gives each image a mean and deviation between its own and its partner's.

    Zhou et al., "Domain Generalization with MixStyle", ICLR 2021, eq. 3 to 5, at the level of
    pixels, as "MixDistribution" of Tang et al., ICCV 2023: `x~ = (x - mu) / sigma * (s sigma +
    (1 - s) sigma') + s mu + (1 - s) mu'`, a channel at a time. Moments take no gradient.

    A change of units, such as a normalisation by channel, may come before or after: the result
    is the same but for 1e-6 in the variance.

    Args:
        images: `(batch, channels, height, width)`, floating point, 2 pixels or more.
        partners: `(batch,)` int64, the image whose moments come in, for example a permutation.
        share: `(batch,)` in [0, 1], how much stays of an image's own moments.

    Returns:
        A tensor like `images`.

    Raises:
        InputError: When the shapes do not fit.
    """
    if images.dim() != 4 or not len(images) == len(partners) == len(share):
        raise InputError(
            f"images {tuple(images.shape)} need as many partners and shares, not "
            f"{tuple(partners.shape)} and {tuple(share.shape)}."
        )
    variance, mean = torch.var_mean(images.detach(), dim=(2, 3), keepdim=True)
    deviation = (variance + _EPSILON).sqrt()
    own = share.view(-1, 1, 1, 1).to(images.dtype)
    new_deviation = own * deviation + (1 - own) * deviation[partners]
    new_mean = own * mean + (1 - own) * mean[partners]
    return (images - mean) / deviation * new_deviation + new_mean


def beta(count: int, concentration: float, rng: torch.Generator) -> Tensor:
    """Draws from the symmetric Beta distribution, on the generator's device.

    `torch.distributions` takes no generator. In double precision, because for a small
    concentration both Gamma draws may lie below what single precision can hold.

    Args:
        count: How many.
        concentration: Both parameters, above 0; below 1 most draws lie near 0 or 1.
        rng: Decides them.

    Returns:
        `(count,)` in [0, 1], fp32.
    """
    shape = torch.full((2, count), concentration, dtype=torch.float64, device=rng.device)
    first, second = torch._standard_gamma(shape, generator=rng)
    return (first / (first + second)).float()
