"""From a name to images in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from bequest.data import embedded
from bequest.data.cache import cache_folder
from bequest.data.catalog import DATA, Entry
from bequest.data.images import ImageData
from bequest.data.splits import stratified_split
from bequest.errors import unknown

Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def load(name: str) -> ImageData:
    """Reads a data set."""
    if name not in DATA:
        raise unknown("data set", name, DATA)
    return _load(name, cache_folder())


@cache
def _load(name: str, folder: Path) -> ImageData:
    entry = DATA[name]
    read = {"digits": embedded.digits, "mnist5k": embedded.mnist5k}[name]
    images, labels = read()
    train, test = stratified_split(labels, test=entry.test)
    return ImageData(
        name=name,
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        class_names=entry.class_names,
        mean=entry.mean,
        std=entry.std,
        mirrored=entry.mirrored,
        licence=entry.licence,
        source=entry.source,
    )
