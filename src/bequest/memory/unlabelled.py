"""Images without labels that somebody collected, on the device: to train on, and held back."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError

SMALLEST_POOL = 64
"""Fewer images than this are no pool: batches and class counts would mean nothing."""
_HELD_BACK_EVERY = 16
_HELD_BACK_AT_MOST = 512


class UnlabelledPool:
    """A pool of images, of which up to every sixteenth never reaches the student.

    What is held back shows how well the student agrees with the teacher on images of that kind on
    which it was not trained.

    Args:
        images: See `check_pool`.
        image_size: `(channels, height, width)` that the networks take.
        device: Where the images are kept.

    Attributes:
        training: `(count, channels, height, width)`, uint8, channels last.
        held_back: The same, at most 512 of them.
    """

    def __init__(
        self, images: Tensor, *, image_size: tuple[int, int, int], device: torch.device
    ) -> None:
        check_pool(images, image_size=image_size)
        every = max(_HELD_BACK_EVERY, len(images) // _HELD_BACK_AT_MOST)
        held = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        held[every - 1 :: every][:_HELD_BACK_AT_MOST] = True
        self.training, self.held_back = (
            images[part].to(device).contiguous(memory_format=torch.channels_last)
            for part in (~held, held)
        )

    def __len__(self) -> int:
        return len(self.training)

    def take(self, places: Tensor) -> Tensor:
        """The training images at `places` `(batch,)`, channels last."""
        return self.training.permute(0, 2, 3, 1).index_select(0, places).permute(0, 3, 1, 2)


def check_pool(images: Tensor, *, image_size: tuple[int, int, int]) -> None:
    """Refuses what cannot be learnt from.

    Args:
        images: `(count, channels, height, width)`, uint8.
        image_size: `(channels, height, width)` that the networks take.

    Raises:
        InputError: For another type or size, fewer than `SMALLEST_POOL` images, images of one
            colour each, or copies of one image.
    """
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != tuple(image_size):
        raise InputError(
            f"The pool's images are {images.dtype} of size {tuple(images.shape[1:])}; uint8 of "
            f"size {tuple(image_size)} is needed."
        )
    if len(images) < SMALLEST_POOL:
        raise InputError(
            f"The pool has {len(images)} images; at least {SMALLEST_POOL} are needed, and "
            "thousands are better: collect more images of any kind."
        )
    if bool((images.amax((2, 3)) == images.amin((2, 3))).all()):
        raise InputError(
            "Each image of the pool is of one colour, so that there is nothing to learn from: "
            "collect images that show something."
        )
    if bool((images == images[:1]).all()):
        raise InputError("All images of the pool are the same: collect different ones.")
