"""Zoomed crops: what they show, and the gradient back."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.ops.crops import random_resized_crop


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def ramp(count, height, width, *, axis):
    """Each pixel holds its own coordinate, the centre of the first being 0."""
    line = torch.arange(width if axis == 3 else height, dtype=torch.float32)
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    return line.view(shape).expand(count, 1, height, width).clone()


def test_the_whole_image_comes_back_unchanged():
    images = torch.rand(4, 3, 5, 7, generator=rng())
    crops = random_resized_crop(images, rng(), smallest=1.0, aspect=1.0, flip=False)
    assert torch.allclose(crops, images, atol=1e-5)


def test_flips_mirror_about_half_of_the_images():
    images = torch.rand(64, 1, 4, 4, generator=rng())
    crops = random_resized_crop(images, rng(), smallest=1.0, aspect=1.0, flip=True)
    kept = [torch.allclose(c, i, atol=1e-5) for c, i in zip(crops, images)]
    mirrored = [torch.allclose(c, i.flip(2), atol=1e-5) for c, i in zip(crops, images)]
    assert all(a or b for a, b in zip(kept, mirrored))
    assert 20 < sum(mirrored) < 44


def test_sides_areas_and_ratios_stay_in_range():
    count, size = 500, 64
    spans = []
    for axis in (3, 2):
        crops = random_resized_crop(
            ramp(count, size, size, axis=axis), rng(), smallest=0.25, flip=False
        )
        # The slope of the ramp in the middle is the side of the crop, as a share of the image.
        line = crops.select(5 - axis, size // 2)[:, 0]
        spans.append(line[:, size // 2] - line[:, size // 2 - 1])
        assert crops.min() >= 0
        assert crops.max() <= size - 1
    wide, high = spans
    area, ratio = wide * high, wide / high
    assert wide.max() <= 1 + 1e-4
    assert high.max() <= 1 + 1e-4
    assert area.min() > 0.25 - 1e-3
    assert area.max() <= 1 + 1e-3
    assert ratio.min() > 3 / 4 - 1e-3
    assert ratio.max() < 4 / 3 + 1e-3
    assert area.mean().item() == pytest.approx(0.6, abs=0.05)


def test_places_spread_over_the_image():
    crops = random_resized_crop(ramp(300, 32, 32, axis=3), rng(), smallest=0.25, flip=False)
    centres = crops[:, 0, 0, 15:17].mean(1) / 31
    assert centres.min() < 0.35
    assert centres.max() > 0.65
    assert centres.mean().item() == pytest.approx(0.5, abs=0.03)


def test_gradients_reach_the_images_and_draws_repeat():
    images = torch.rand(3, 2, 8, 8, generator=rng(), requires_grad=True)
    crops = random_resized_crop(images, rng(5))
    crops.sum().backward()
    assert images.grad.abs().flatten(1).sum(1).min() > 0
    assert torch.equal(crops, random_resized_crop(images, rng(5)))
    assert not torch.equal(crops, random_resized_crop(images, rng(6)))


@pytest.mark.parametrize("wrong", [{"smallest": 0.0}, {"smallest": 1.1}, {"aspect": 0.5}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match="smallest"):
        random_resized_crop(torch.rand(1, 1, 4, 4), rng(), **wrong)
