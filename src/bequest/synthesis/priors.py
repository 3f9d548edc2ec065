"""What makes an image more likely before any network is asked: smoothness and small contrast.

Yin et al., "Dreaming to Distill", CVPR 2020, eq. 3, after Mahendran and Vedaldi, "Understanding
Deep Image Representations by Inverting Them", CVPR 2015.

Differs: the authors' CIFAR code takes one norm over the whole batch, which grows with the root of
its size; here each image has its own and the batch is averaged. A weight `w` of theirs at batch
size `b` is `w * sqrt(b)` here.
"""

from __future__ import annotations

from torch import Tensor
from torch.linalg import vector_norm

from bequest.errors import InputError


def total_variation(images: Tensor) -> Tensor:
    """`mean_x sum_d ||D_d x||_2` over the differences to the four neighbours on one side.

    The neighbours are those to the right, below, and on both lower diagonals.

    Args:
        images: `(batch, channels, height, width)`, height and width at least 2.

    Returns:
        A scalar, at least 0; 0 for images of one colour. Its gradient there is 0.

    Raises:
        InputError: When the images are too small to have neighbours.
    """
    if images.dim() != 4 or min(images.shape[-2:]) < 2:
        raise InputError(
            f"images are {tuple(images.shape)}; (batch, channels, height, width) with at least "
            "2x2 pixels is needed."
        )
    images = images.float()
    differences = (
        images[:, :, :, 1:] - images[:, :, :, :-1],
        images[:, :, 1:, :] - images[:, :, :-1, :],
        images[:, :, 1:, 1:] - images[:, :, :-1, :-1],
        images[:, :, 1:, :-1] - images[:, :, :-1, 1:],
    )
    norms = [vector_norm(difference.flatten(1), dim=1) for difference in differences]
    return sum(norms[1:], norms[0]).mean()


def l2_prior(images: Tensor) -> Tensor:
    """`mean_x ||x||_2`: distance from the mean colour, for images normalised as the network's.

    Args:
        images: `(batch, channels, height, width)`.

    Returns:
        A scalar, at least 0.
    """
    return vector_norm(images.float().flatten(1), dim=1).mean()
