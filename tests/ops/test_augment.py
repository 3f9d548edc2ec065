"""Crops and flips against a loop over images."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from bequest.ops.augment import random_crop_flip


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_every_result_is_a_crop_of_the_padded_image(flip: bool, dtype: torch.dtype) -> None:
    images = (torch.rand(12, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 254 + 1).to(
        dtype
    )
    seen = random_crop_flip(images, torch.Generator().manual_seed(1), padding=2, flip=flip)
    assert seen.shape == images.shape
    assert seen.dtype == dtype
    offsets = set()
    for image, ours in zip(images, seen):
        padded = F.pad(image.double(), (2, 2, 2, 2))
        candidates = {
            (top, left, mirrored): crop.flip(2) if mirrored else crop
            for top in range(5)
            for left in range(5)
            for crop in [padded[:, top : top + 6, left : left + 5]]
            for mirrored in ([False, True] if flip else [False])
        }
        found = [k for k, crop in candidates.items() if torch.equal(crop, ours.double())]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) > 6
    assert {mirrored for _, _, mirrored in offsets} == ({False, True} if flip else {False})


def test_gradients_go_back_to_where_each_pixel_came_from() -> None:
    images = torch.rand(2, 1, 4, 4, requires_grad=True)
    seen = random_crop_flip(images, torch.Generator().manual_seed(0), padding=1)
    seen.sum().backward()
    assert images.grad is not None
    assert images.grad.sum().item() == (seen != 0).sum().item()
    assert set(images.grad.unique().tolist()) <= {0.0, 1.0}


def test_nothing_to_do_returns_the_images_themselves() -> None:
    images = torch.rand(2, 1, 4, 4)
    assert random_crop_flip(images, torch.Generator(), padding=0, flip=False) is images


def test_crops_are_the_same_with_and_without_a_gradient() -> None:
    images = torch.rand(5, 3, 7, 6, requires_grad=True)
    with_gradient = random_crop_flip(images, torch.Generator().manual_seed(2), padding=3)
    without = random_crop_flip(images.detach(), torch.Generator().manual_seed(2), padding=3)
    assert torch.equal(with_gradient, without)
    assert with_gradient.stride() == without.stride()
