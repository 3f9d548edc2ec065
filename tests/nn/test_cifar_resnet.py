"""The CIFAR ResNet against a forward pass written apart, and against the public weights."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bequest.errors import InputError
from bequest.nn import zoo
from bequest.nn.cifar_resnet import subsample_and_pad
from bequest.nn.load import load_network

FOLDER = Path(os.environ.get("BEQUEST_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
PUBLIC = FOLDER / "cifar10_resnets.npz"
needs_public_weights = pytest.mark.skipif(
    not PUBLIC.is_file(),
    reason="cifar10_resnets.npz (public ResNet-20 and ResNet-56 weights) is not in "
    "the folder BEQUEST_SHARED_DATA",
)


def functional_resnet20(weights: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """ResNet-20 in evaluation mode from the paper, with names but without modules."""

    def normalize(name: str, x: torch.Tensor) -> torch.Tensor:
        shape = (1, -1, 1, 1)
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        x = (x - mean.view(shape)) / (variance.view(shape) + 1e-5) ** 0.5
        return x * weights[f"{name}.weight"].view(shape) + weights[f"{name}.bias"].view(shape)

    x = normalize("bn1", F.conv2d(images, weights["conv1.weight"], padding=1)).clamp(min=0)
    for stage in (1, 2, 3):
        for block in (0, 1, 2):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
            y = normalize(f"{name}.bn1", y).clamp(min=0)
            y = F.conv2d(y, weights[f"{name}.conv2.weight"], padding=1)
            y = normalize(f"{name}.bn2", y)
            if stride == 2:
                zeros = torch.zeros(len(x), x.shape[1] // 2, *y.shape[2:])
                x = torch.cat([zeros, x[:, :, ::2, ::2], zeros], dim=1)
            x = (x + y).clamp(min=0)
    return x.mean(dim=(2, 3)) @ weights["linear.weight"].T + weights["linear.bias"]


def test_logits_equal_a_forward_pass_without_modules() -> None:
    torch.manual_seed(0)
    network = zoo.build("resnet20", num_classes=10)
    with torch.no_grad():
        network(torch.rand(32, 3, 32, 32))  # Fills the running statistics.
        network.eval()
        images = torch.rand(4, 3, 32, 32)
        expected = functional_resnet20(network.state_dict(), images)
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)


def test_shortcut_keeps_every_second_pixel_between_zeros() -> None:
    images = torch.arange(2 * 5 * 5, dtype=torch.float32).view(1, 2, 5, 5)
    out = subsample_and_pad(images, out_channels=4, stride=2)
    assert out.shape == (1, 4, 3, 3)
    assert not out[:, [0, 3]].any()
    for row in range(3):
        for column in range(3):
            assert out[0, 1, row, column] == images[0, 0, 2 * row, 2 * column]
            assert out[0, 2, row, column] == images[0, 1, 2 * row, 2 * column]


def test_shortcut_keeps_channels_last() -> None:
    images = torch.rand(2, 16, 8, 8).to(memory_format=torch.channels_last)
    out = subsample_and_pad(images, out_channels=32, stride=2)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_impossible_depth_is_refused() -> None:
    from bequest.nn.cifar_resnet import CifarResNet

    with pytest.raises(InputError, match="6n \\+ 2 layers"):
        CifarResNet(depth=18, num_classes=10)


@needs_public_weights
@pytest.mark.parametrize("name", ["resnet20", "resnet56"])
def test_names_are_those_of_the_public_weights(name: str) -> None:
    with np.load(PUBLIC) as archive:
        public = {
            key.removeprefix(f"{name}/"): archive[key].shape
            for key in archive.files
            if key.startswith(f"{name}/")
        }
    ours = {
        key: tuple(value.shape)
        for key, value in zoo.build(name, num_classes=10).state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert ours == public


@needs_public_weights
def test_public_weights_give_the_logits_of_the_forward_pass_without_modules() -> None:
    network = load_network("resnet20", num_classes=10, weights=PUBLIC).eval()
    with np.load(PUBLIC) as archive:
        weights = {
            key.removeprefix("resnet20/"): torch.from_numpy(archive[key]) for key in archive.files
        }
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = functional_resnet20(weights, images)
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)
