"""Normalisation constants by name: data only, so that a command line can list them at no cost."""

from __future__ import annotations

from bequest.errors import unknown

Normalization = tuple[tuple[float, ...], tuple[float, ...]]

# A single value stands for every channel.
PRESETS: dict[str, Normalization] = {
    "none": ((0.0,), (1.0,)),
    "half": ((0.5,), (0.5,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "mnist": ((0.1307,), (0.3081,)),
}


def preset(name: str) -> Normalization:
    """The mean and standard deviation of a preset, one value a channel or one for all.

    Args:
        name: a key of :data:`PRESETS`.

    Raises:
        InputError: if there is no such preset; names the nearest.
    """
    if name not in PRESETS:
        raise unknown("normalisation preset", name, PRESETS)
    return PRESETS[name]
