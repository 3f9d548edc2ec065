"""The U-Net's shapes, size and manners."""

from __future__ import annotations

import pytest
import torch

from bequest.errors import InputError
from bequest.nn.inspection import batch_norm_layers, check_network
from bequest.nn.unet import UNet


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (13, 9), (45, 60)])
def test_a_logit_a_class_for_each_pixel(size: tuple[int, int]) -> None:
    network = UNet(width=2, num_classes=5, in_channels=3, depth=3).eval()
    check_network(network, image_size=(3, *size), num_classes=5, name="teacher", dense=True)


def test_its_size_by_hand() -> None:
    network = UNet(width=4, num_classes=3, in_channels=1, depth=1)
    down = 9 * (1 * 4 + 4 * 4 + 4 * 8 + 8 * 8) + 2 * (4 + 4 + 8 + 8)
    up = 8 * 4 + 2 * 4 + 9 * 4 * 4 + 2 * 4
    head = 4 * 3 + 3
    assert sum(p.numel() for p in network.parameters()) == down + up + head
    assert len(batch_norm_layers(network)) == 6


def test_every_parameter_learns_and_shortcuts_reach_the_end() -> None:
    network = UNet(width=2, num_classes=3, in_channels=1, depth=2)
    images = torch.randn(4, 1, 12, 12, requires_grad=True)
    network(images).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    assert images.grad.abs().sum() > 0


def test_numbers_out_of_range_and_small_images_are_refused() -> None:
    with pytest.raises(InputError, match="width 0"):
        UNet(width=0, num_classes=3)
    with pytest.raises(InputError, match="classes at least 2"):
        UNet(width=2, num_classes=1)
    with pytest.raises(InputError, match="8 pixels or more"):
        UNet(width=2, num_classes=3, depth=3)(torch.rand(1, 3, 4, 16))
