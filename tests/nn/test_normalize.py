"""Normalisation in front of a network."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bequest.errors import InputError
from bequest.nn.normalize import Normalized
from bequest.nn.presets import PRESETS, preset


def test_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel() -> None:
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 2.0]
    out = Normalized(nn.Identity(), mean, std)(images)
    for channel in range(3):
        expected = (images[:, channel] - mean[channel]) / std[channel]
        torch.testing.assert_close(out[:, channel], expected)


def test_one_value_stands_for_all_channels() -> None:
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(Normalized(nn.Identity(), [0.5], [0.5])(images), images * 2 - 1)
    mixed = Normalized(nn.Identity(), [0.0, 0.1, 0.2], [0.5])(images)
    torch.testing.assert_close(mixed[:, 2], (images[:, 2] - 0.2) / 0.5)


def test_saves_the_names_of_the_network_alone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1))
    names = set(Normalized(network, [0.5], [0.5]).state_dict())
    assert names == {"network.0.weight", "network.0.bias"}


def test_unwraps_copies_and_changes_precision() -> None:
    network = nn.Conv2d(3, 2, 1)
    wrapped = Normalized(network, *preset("cifar10"))
    assert wrapped.unwrapped is network
    twin = copy.deepcopy(wrapped).to(torch.float64)
    assert twin.mean.dtype == torch.float64
    assert twin(torch.rand(1, 3, 2, 2, dtype=torch.float64)).dtype == torch.float64
    assert wrapped.mean.dtype == torch.float32


def test_keeps_channels_last() -> None:
    images = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    out = Normalized(nn.Identity(), *preset("imagenet"))(images)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_constants_follow_the_network_to_its_device() -> None:
    wrapped = Normalized(nn.Conv2d(3, 2, 1, device="meta"), [0.5], [0.5])
    assert wrapped.mean.device.type == "meta"


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.1, 0.2], [0.1, 0.2, 0.3], "mean has 2 values and std has 3"),
        ([0.1], [0.0], "std must be positive, but holds 0.0"),
        ([0.1], [0.5, -1.0], "std must be positive, but holds -1.0"),
        ([], [1.0], "mean must hold one finite number"),
        ([float("nan")], [1.0], "mean must hold one finite number"),
        ([0.0], [float("inf")], "std must hold one finite number"),
        ("cifar10", [1.0], "mean must be a list of numbers, not the text 'cifar10'"),
    ],
)
def test_bad_constants_are_refused(mean: list[float], std: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Normalized(nn.Identity(), mean, std)


def test_images_with_other_channels_are_refused_instead_of_broadcast() -> None:
    with pytest.raises(InputError, match="1 channels, but the normalisation has 3"):
        Normalized(nn.Identity(), *preset("cifar10"))(torch.rand(2, 1, 4, 4))


def test_presets_are_usable_and_an_unknown_one_suggests_the_nearest() -> None:
    for mean, std in PRESETS.values():
        Normalized(nn.Identity(), mean, std)
    with pytest.raises(InputError, match="cifar10"):
        preset("cifar-10")
