"""A data set of images whose pixels have labels, whole in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bequest.errors import InputError

IGNORED = 255
"""The label of pixels that count nowhere: of no class, or of none that anybody told."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentationData:
    """Images with label maps in three parts. Shared between callers: don't write into it.

    Settings are chosen on the validation part, figures are reported on the test part.

    Shapes:
        images: ``(number, channels, height, width)``, uint8, on the CPU, channels last in memory.
        labels: ``(number, height, width)``, uint8: 0 .. num_classes - 1, or :data:`IGNORED`.

    Raises:
        InputError: if a tensor is of another type or shape, a label has no class name, or the
            constants are not one a channel.
    """

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    validation_images: torch.Tensor
    validation_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    class_names: tuple[str, ...]
    """In the order of the labels."""
    mean: tuple[float, ...]
    """Of the training images in [0, 1], one value a channel."""
    std: tuple[float, ...]
    """Of the training images in [0, 1], one value a channel."""
    mirrored: bool
    """Whether an image seen in a mirror is still what its labels say."""
    licence: str
    source: str

    def __post_init__(self) -> None:
        for part in PARTS:
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            self._check(images, labels, what=f"{self.name}, {part}")
            images = images.contiguous(memory_format=torch.channels_last)
            object.__setattr__(self, f"{part}_images", images)
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
        """How many classes there are, without the ignored label."""
        return len(self.class_names)

    def __repr__(self) -> str:
        size = "x".join(str(length) for length in self.image_size)
        counts = " + ".join(str(len(getattr(self, f"{part}_images"))) for part in PARTS)
        return (
            f"SegmentationData('{self.name}', {counts} images of {size}, "
            f"{self.num_classes} classes)"
        )

    def _check(self, images: torch.Tensor, labels: torch.Tensor, *, what: str) -> None:
        if images.dtype != torch.uint8 or images.shape[1:] != self.train_images.shape[1:]:
            raise InputError(
                f"{what}: images must be uint8 of {tuple(self.train_images.shape[1:])}, as in "
                f"training, not {images.dtype} of {tuple(images.shape[1:])}."
            )
        if images.ndim != 4 or not len(images):
            raise InputError(
                f"{what}: images must be (number, channels, height, width) with at least one, not "
                f"{tuple(images.shape)}."
            )
        expected = (len(images), *images.shape[2:])
        if labels.dtype != torch.uint8 or labels.shape != expected:
            raise InputError(
                f"{what}: labels must be uint8 of {expected}, one a pixel, not {labels.dtype} of "
                f"{tuple(labels.shape)}."
            )
        named = labels[labels != IGNORED]
        if len(named) and int(named.max()) >= self.num_classes:
            raise InputError(
                f"{what}: a pixel has label {int(named.max())}, but there are "
                f"{self.num_classes} classes; pixels of no class have label {IGNORED}."
            )
