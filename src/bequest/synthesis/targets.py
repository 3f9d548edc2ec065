"""What a teacher should see in synthetic images: the targets of the inversion's task term."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.losses.distillation import per_sample
from bequest.losses.inversion import one_hot_loss


class Targets(Protocol):
    """Draws what is to be seen, and says how far the teacher is from seeing it."""

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Targets of `count` images, `(count, ...)`, on the generator's device."""
        ...

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of each image, `(count,)`, from the teacher's logits `(count, classes, ...)`."""
        ...


class ClassTargets:
    """One class an image, drawn uniformly; cross-entropy to it (Fast-Datafree).

    Args:
        num_classes: Classes of the teacher.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Classes `(count,)`."""
        return torch.randint(self.num_classes, (count,), generator=rng, device=rng.device)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each image `(count,)` for logits `(count, classes)`."""
        return F.cross_entropy(logits, targets, reduction="none")


class PatchTargets:
    """A label map an image: a grid of patches, the class of each drawn uniformly.

    The counterpart of a uniformly drawn class for networks that answer for each pixel. One class a
    pixel would be noise that no image can show; a patch is large enough to be some thing. The maps
    belong to images that are not cropped or flipped.

    Args:
        num_classes: Classes of the teacher.
        size: Height and width of the images.
        patch: Side of a patch in pixels; the last row and column are cut where it does not divide.
    """

    def __init__(self, num_classes: int, size: tuple[int, int], *, patch: int) -> None:
        self.num_classes, self.size, self.patch = num_classes, size, patch

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Label maps `(count, height, width)`, int64."""
        height, width = self.size
        grid = (count, math.ceil(height / self.patch), math.ceil(width / self.patch))
        coarse = torch.randint(self.num_classes, grid, generator=rng, device=rng.device)
        fine = coarse.repeat_interleave(self.patch, 1).repeat_interleave(self.patch, 2)
        return fine[:, :height, :width].contiguous()

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over the pixels of each image, `(count,)`."""
        return per_sample(F.cross_entropy(logits, targets, reduction="none"))


class OwnTargets:
    """Nothing is drawn: each pixel's target is the teacher's own most likely class there.

    The pseudo labels of DAFL, of each pixel: the teacher should be sure, whatever it sees.
    """

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Nothing, `(count, 0)`."""
        return torch.empty(count, 0, device=rng.device)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy over the pixels of each image, `(count,)`."""
        return per_sample(one_hot_loss(logits))
