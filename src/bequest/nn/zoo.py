"""The networks that Bequest brings along: a table, and what builds its rows.

Importing this module imports no torch, so that a command line can list the networks at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bequest.errors import InputError, unknown

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Entry:
    """One network: what builds it, and one line about it."""

    target: str
    """``module:callable``; takes the options, ``num_classes`` and ``in_channels`` by keyword."""
    summary: str
    """One line for people."""
    options: Mapping[str, int] = field(default_factory=dict)
    """The arguments that make this member of its family."""


def _cifar_resnet(depth: int) -> Entry:
    return Entry(
        "bequest.nn.cifar_resnet:CifarResNet",
        f"ResNet-{depth} for 32x32, 16 to 64 channels, shortcuts without weights",
        {"depth": depth},
    )


def _resnet(depth: int) -> Entry:
    return Entry(
        "bequest.nn.resnet:ResNet",
        f"ResNet-{depth} with a 3x3 stem for 32x32, 64 to {2048 if depth >= 50 else 512} channels",
        {"depth": depth},
    )


def _wide_resnet(depth: int, widen: int) -> Entry:
    return Entry(
        "bequest.nn.wide_resnet:WideResNet",
        f"wide ResNet, {depth} layers, {widen} times the channels, activation first",
        {"depth": depth, "widen": widen},
    )


def _vgg(depth: int) -> Entry:
    return Entry(
        "bequest.nn.vgg:VGG",
        f"VGG-{depth} with BatchNorm and one linear layer as head",
        {"depth": depth},
    )


def _convnet(width: int) -> Entry:
    return Entry(
        "bequest.nn.small:ConvNet",
        f"five convolutions with BatchNorm, {width} to {4 * width} channels, for 8x8 to 28x28",
        {"width": width},
    )


ZOO: dict[str, Entry] = {
    **{f"resnet{depth}": _cifar_resnet(depth) for depth in (8, 14, 20, 32, 44, 56, 110)},
    **{f"resnet{depth}": _resnet(depth) for depth in (18, 34, 50)},
    **{
        f"wrn_{depth}_{widen}": _wide_resnet(depth, widen)
        for depth, widen in ((16, 1), (16, 2), (40, 1), (40, 2))
    },
    **{f"vgg{depth}_bn": _vgg(depth) for depth in (8, 11, 13, 16, 19)},
    "mobilenet_v2": Entry("bequest.nn.mobilenet:MobileNetV2", "MobileNetV2 with strides for 32x32"),
    "shufflenet_v2": Entry(
        "bequest.nn.shufflenet:ShuffleNetV2", "ShuffleNetV2 with strides for 32x32"
    ),
    **{f"convnet{width}": _convnet(width) for width in (4, 8, 16, 24, 32, 64)},
    "lenet5_bn": Entry("bequest.nn.small:LeNet5", "LeNet-5 with BatchNorm for 28x28"),
    "lenet5_bn_half": Entry(
        "bequest.nn.small:LeNet5", "LeNet-5 with BatchNorm for 28x28, half as wide", {"divisor": 2}
    ),
}


def names() -> list[str]:
    """The names of all networks, in the order of the table."""
    return list(ZOO)


def describe() -> dict[str, str]:
    """One line about each network, by name."""
    return {name: entry.summary for name, entry in ZOO.items()}


def build(name: str, *, num_classes: int, in_channels: int = 3) -> nn.Module:
    """Builds an untrained network, with weights drawn from torch's global generator.

    Args:
        name: one of :func:`names`.
        num_classes: how many logits it gives, 2 or more.
        in_channels: channels of its images, 1 or more.

    Returns:
        A network in training mode that maps float images ``(batch, in_channels, height, width)``
        to logits ``(batch, num_classes)``.

    Raises:
        InputError: for an unknown name (with the nearest ones) or a number out of range.

    Example:
        >>> import torch
        >>> build("resnet8", num_classes=10)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    if name not in ZOO:
        raise unknown("network", name, ZOO)
    check_counts(num_classes=num_classes, in_channels=in_channels)
    entry = ZOO[name]
    module, _, attribute = entry.target.partition(":")
    factory = getattr(importlib.import_module(module), attribute)
    return factory(**entry.options, num_classes=num_classes, in_channels=in_channels)


def check_counts(*, num_classes: int, in_channels: int) -> None:
    """Raises :class:`InputError` unless there are 2 classes and 1 channel or more."""
    for label, given, least in (("num_classes", num_classes, 2), ("in_channels", in_channels, 1)):
        if isinstance(given, bool) or not isinstance(given, int) or given < least:
            raise InputError(f"{label} must be a whole number of {least} or more, not {given!r}.")
