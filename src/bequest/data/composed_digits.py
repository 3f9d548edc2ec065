"""Digits on textures: real handwriting with a label for each pixel, and no download.

Real digits of an embedded set are laid at random places on procedural textures. Pixels of ink are
of the digit's class, all others are background, which is a class like the digits. Which strokes
are ink and which are texture cannot be told from a pixel's brightness: the textures are bright in
places, too.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from bequest.data.label_maps import SegmentationData
from bequest.data.loading import load
from bequest.data.splits import stratified_split
from bequest.errors import InputError

_INK = 96
"""From this grey level on, a pixel of a digit is ink and has its label."""


@cache
def composed_digits(
    base: str = "mnist5k",
    *,
    side: int = 24,
    digit: int = 12,
    each: int = 3,
    classes: int = 5,
    train: int = 2000,
) -> SegmentationData:
    """Scenes of ``each`` digits on a texture, the same on every machine.

    The digits of training, validation (a tenth of the base set's training digits) and test scenes
    are different ones; those of the test come from the test part of the base set.

    Args:
        base: An embedded set of digits: ``mnist5k`` or ``digits``.
        side: Height and width of a scene.
        digit: Height and width of a digit in it, at most half of ``side``.
        each: Digits in a scene, 1 .. 4: each in a quarter of its own.
        classes: How many digits there are: the first so many, 1 .. 10.
        train: Number of training scenes; validation and test have a fifth of it each.

    Raises:
        InputError: For sizes that do not fit.
    """
    fits = 4 <= digit <= side // 2 and 1 <= each <= 4 and 1 <= classes <= 10 and train >= 5
    if not fits:
        raise InputError(
            f"{classes} digits of {digit} pixels, {each} in each of {train} scenes of {side}: "
            "there are 1 to 10 digits, each of 4 pixels to half a scene, 1 to 4 in a scene, and "
            "5 scenes or more."
        )
    source = load(base)
    kept, validation = stratified_split(source.train_labels, test=len(source.train_labels) // 10)
    digits = {
        "train": (source.train_images[kept], source.train_labels[kept]),
        "validation": (source.train_images[validation], source.train_labels[validation]),
        "test": (source.test_images, source.test_labels),
    }
    counts = {"train": train, "validation": train // 5, "test": train // 5}
    scenes = {}
    for seed, (part, (images, labels)) in enumerate(digits.items()):
        images, labels = images[labels < classes], labels[labels < classes]
        margin = 4 if images.shape[-1] == 28 else 0  # MNIST leaves 4 pixels empty on each side
        images = images[:, :, margin : images.shape[2] - margin, margin : images.shape[3] - margin]
        images = F.interpolate(images.float(), size=(digit, digit), mode="bilinear", antialias=True)
        rng = torch.Generator().manual_seed(seed)
        scenes[part] = _scenes(images, labels, counts[part], side=side, each=each, rng=rng)
    pixels = scenes["train"][0].float() / 255
    return SegmentationData(
        name=f"composed-{base}-{side}-{digit}-{each}-{classes}-{train}",
        train_images=scenes["train"][0],
        train_labels=scenes["train"][1],
        validation_images=scenes["validation"][0],
        validation_labels=scenes["validation"][1],
        test_images=scenes["test"][0],
        test_labels=scenes["test"][1],
        class_names=("background", *source.class_names[:classes]),
        mean=(round(pixels.mean().item(), 4),),
        std=(round(pixels.std().item(), 4),),
        mirrored=False,
        licence=source.licence,
        source=f"digits of {base} ({source.source}) on procedural textures",
    )


def textures(count: int, side: int, rng: torch.Generator) -> Tensor:
    """Two gratings of random direction and period, times clouds; ``(count, side, side)``, [0, 1].

    Gratings make strokes as digits do, and clouds make them come and go.
    """
    draws = torch.rand(3, 2, count, 1, 1, generator=rng)
    angle, period, phase = math.pi * draws[0], 4 + 8 * draws[1], 2 * math.pi * draws[2]
    rows = torch.arange(side).view(side, 1)
    columns = torch.arange(side).view(1, side)
    along = columns * angle.cos() + rows * angle.sin()
    gratings = (torch.sin(2 * math.pi * along / period + phase) / 2 + 0.5).mean(0)
    clouds = torch.rand(count, 1, 4, 4, generator=rng)
    clouds = F.interpolate(clouds, size=(side, side), mode="bicubic")[:, 0].clamp(0, 1)
    return gratings * clouds


def _scenes(
    digits: Tensor, labels: Tensor, count: int, *, side: int, each: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images ``(count, 1, side, side)`` and label maps ``(count, side, side)``, both uint8."""
    size, half = digits.shape[-1], side // 2
    chosen = torch.randint(len(digits), (count, each), generator=rng)
    quarter = torch.rand(count, 4, generator=rng).argsort(1)[:, :each]
    shift = torch.randint(half - size + 1, (2, count, each), generator=rng)
    top = quarter // 2 * half + shift[0]
    left = quarter % 2 * half + shift[1]
    ink = torch.zeros(count, side, side)
    maps = torch.zeros(count, side, side, dtype=torch.uint8)
    scene = torch.arange(count)[:, None, None]
    for index in range(each):  # quarters are apart: no digit covers another
        rows = (top[:, index, None] + torch.arange(size))[:, :, None]
        columns = (left[:, index, None] + torch.arange(size))[:, None, :]
        grey = digits[chosen[:, index], 0]
        ink[scene, rows, columns] = grey
        label = (labels[chosen[:, index]] + 1).to(torch.uint8)[:, None, None]
        maps[scene, rows, columns] = torch.where(grey >= _INK, label, label.new_zeros(()))
    cover = ink / 255
    brightness = 0.7 + 0.3 * torch.rand(count, 1, 1, generator=rng)
    images = (1 - cover) * 0.7 * textures(count, side, rng) + cover * brightness
    return (images * 255).round().clamp(0, 255).to(torch.uint8)[:, None], maps
