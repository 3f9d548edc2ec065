"""Jitter by hand from its own draws, and what it leaves alone."""

from __future__ import annotations

import torch

from bequest.ops.color_jitter import color_jitter


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_each_image_has_its_own_factors_in_this_order() -> None:
    images = torch.rand(2, 3, 4, 4, generator=rng(1)) * 0.6
    found = color_jitter(images, rng(), strength=0.2)
    factors = 0.8 + 0.4 * torch.rand(3, 2, 1, 1, 1, generator=rng())
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    for n in range(2):
        brightness, contrast, saturation = factors[:, n].flatten()
        image = (images[n] * brightness).clamp(0, 1)
        mean = (image * weights).sum(0).mean()
        image = (contrast * image + (1 - contrast) * mean).clamp(0, 1)
        grey = (image * weights).sum(0)
        image = (saturation * image + (1 - saturation) * grey).clamp(0, 1)
        assert torch.allclose(found[n], image, atol=1e-6)


def test_grey_images_and_no_strength() -> None:
    grey = torch.rand(3, 1, 4, 4, generator=rng(1))
    assert color_jitter(grey, rng(), strength=0) is grey
    found = color_jitter(grey, rng(), strength=0.4)
    assert found.shape == grey.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert not torch.equal(found, grey)
