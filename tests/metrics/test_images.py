"""PSNR by hand, SSIM against scikit-image."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.metrics.images import psnr, ssim


def test_psnr_by_hand() -> None:
    truth = torch.zeros(2, 1, 12, 12)
    images = torch.stack([truth[0] + 0.1, truth[0] + 0.01])
    assert torch.allclose(psnr(images, truth), torch.tensor([20.0, 40.0]), atol=1e-4)


def test_ssim_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    rng = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 1, 20, 24, generator=rng)
    images = (truth + 0.2 * torch.randn(truth.shape, generator=rng)).clamp(0, 1)
    for image, true, ours in zip(images, truth, ssim(images, truth)):
        theirs = metrics.structural_similarity(
            image[0].numpy(), true[0].numpy(), data_range=1.0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        assert ours.item() == pytest.approx(theirs, abs=1e-4)


def test_the_truth_itself_is_perfect() -> None:
    truth = torch.rand(1, 1, 16, 16)
    assert ssim(truth, truth).item() == pytest.approx(1.0)
    assert psnr(truth, truth).item() > 150


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="one shape"):
        psnr(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5))
    with pytest.raises(InputError, match="11 pixels"):
        ssim(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))
