"""A data set of labelled images, whole in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bequest.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageData:
    """Training and test images with their labels. Shared between callers: don't write into it.

    Shapes:
        images: ``(number, channels, height, width)``, uint8, on the CPU, channels last in memory.
        labels: ``(number,)``, int64, in ``0 .. num_classes - 1``.

    Raises:
        InputError: if a tensor is of another type or shape, a label has no class name, or the
            constants are not one a channel.
    """

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    class_names: tuple[str, ...]
    """In the order of the labels."""
    mean: tuple[float, ...]
    """Of the training images in [0, 1], one value a channel."""
    std: tuple[float, ...]
    """Of the training images in [0, 1], one value a channel."""
    mirrored: bool
    """Whether an image seen in a mirror is still of its class: photographs are, digits are not."""
    licence: str
    source: str

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            _check(images, labels, classes=self.num_classes, what=f"{self.name}, {part}")
            images = images.contiguous(memory_format=torch.channels_last)
            object.__setattr__(self, f"{part}_images", images)
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise InputError(
                f"{self.name}: training images are {tuple(self.train_images.shape[1:])}, test "
                f"images {tuple(self.test_images.shape[1:])}: they must be of one size."
            )
        channels = self.image_size[0]
        if not len(self.mean) == len(self.std) == channels:
            raise InputError(
                f"{self.name}: {channels} channels need as many means and deviations, not "
                f"{len(self.mean)} and {len(self.std)}."
            )

    @property
    def image_size(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, channels, height, width = self.train_images.shape
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    def __repr__(self) -> str:
        size = "x".join(str(length) for length in self.image_size)
        return (
            f"ImageData('{self.name}', {len(self.train_images)} + {len(self.test_images)} images "
            f"of {size}, {self.num_classes} classes)"
        )


def _check(images: torch.Tensor, labels: torch.Tensor, *, classes: int, what: str) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise InputError(
            f"{what}: images must be uint8 of (number, channels, height, width), not "
            f"{images.dtype} of {tuple(images.shape)}."
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise InputError(
            f"{what}: {len(images)} images need as many int64 labels, not {labels.dtype} of "
            f"{tuple(labels.shape)}."
        )
    if not len(labels):
        raise InputError(f"{what}: there are no images.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(
            f"{what}: labels go from {low} to {high}, but there are {classes} classes."
        )
