"""Images with labels on the device, to train on."""

from __future__ import annotations

import torch
from torch import Tensor

from bequest.errors import InputError


class LabelledImages:
    """All training images and their labels in two tensors.

    Args:
        images: `(count, channels, height, width)`, uint8.
        labels: `(count,)`, int64.
        image_size: `(channels, height, width)` that the networks take.
        num_classes: Classes that they tell apart.
        device: Where all is kept.

    Raises:
        InputError: For another type or size, labels out of range, or a class without images.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        image_size: tuple[int, int, int],
        num_classes: int,
        device: torch.device,
    ) -> None:
        check_labelled(images, labels, image_size=image_size, num_classes=num_classes)
        # The channels move last in fact, so that a gather copies whole images.
        self._pixels = images.to(device).permute(0, 2, 3, 1).contiguous()
        self.labels = labels.to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, places: Tensor) -> Tensor:
        """The images at `places` `(batch,)`, uint8, channels last."""
        return self._pixels.index_select(0, places).permute(0, 3, 1, 2)


def check_labelled(
    images: Tensor, labels: Tensor, *, image_size: tuple[int, int, int], num_classes: int
) -> None:
    """Refuses what cannot be learnt from; see `LabelledImages`."""
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != tuple(image_size):
        raise InputError(
            f"The images are {images.dtype} of size {tuple(images.shape[1:])}; uint8 of size "
            f"{tuple(image_size)} is needed."
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise InputError(
            f"{len(images)} images need as many int64 labels, not {labels.dtype} of "
            f"{tuple(labels.shape)}."
        )
    if not len(labels):
        raise InputError("There are no images to learn from.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise InputError(
            f"Labels go from {low} to {high}, but the networks tell {num_classes} classes apart: "
            "check the number of classes."
        )
    empty = (torch.bincount(labels, minlength=num_classes) == 0).nonzero().flatten().tolist()
    if empty:
        named = ", ".join(map(str, empty[:10])) + (", ..." if len(empty) > 10 else "")
        raise InputError(
            f"No image is of class {named}: a class without images cannot be learnt. Give images "
            "of it, or networks without it."
        )
